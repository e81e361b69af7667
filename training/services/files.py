"""What is deleted of a training without deleting it."""

from typing import Any

from django.db import transaction

from training import lease, lifecycle, pruning
from training.algorithms.base import Message, gettext_noop
from training.disk import readable
from training.errors import Conflict
from training.models import Training


def training_checkpoints_delete(*, training: Training, user: Any) -> int:
    """Delete the checkpoints of an ended training. -> bytes freed. Raises Conflict naming what is in the way, OSError.

    The files go first: on a full disk the database has no room for the event before.
    """
    with transaction.atomic():
        locked = lifecycle.locked(training)
        if locked.status in Training.UNFINISHED or lease.held(locked):
            raise Conflict(Message(gettext_noop("The training has not ended: stop it first.")))
        if users := pruning.users(locked, Training.UNFINISHED):
            text = gettext_noop("A training that has not ended starts from its checkpoint: %(names)s.")
            raise Conflict(Message(text, {"names": ", ".join(user.name for user in users)}), users)
        paths = pruning.files(locked, "checkpoints")
        freed = pruning.remove(locked, paths)
        if paths:
            reason = Message(gettext_noop("Its checkpoints were deleted (%(size)s)."), {"size": readable(freed)})
            lifecycle.record(locked, pruning.REMOVED["checkpoints"], reason=reason, actor=user)
    return freed
