"""How long a project keeps what its ended trainings leave: logs, TensorBoard, checkpoints. By default for ever."""

import logging
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models.functions import Coalesce
from django.utils import timezone
from django.utils.translation import gettext as _

from training import lease, lifecycle, pruning
from training.algorithms.base import Message, gettext_noop
from training.disk import readable
from training.models import Project, Training

log = logging.getLogger(__name__)
MOST_DAYS = 3650
TEXTS = {
    "logs": gettext_noop("Removed by retention after %(days)s day(s): the log (%(size)s)."),
    "tensorboard": gettext_noop("Removed by retention after %(days)s day(s): TensorBoard's files (%(size)s)."),
    "checkpoints": gettext_noop("Removed by retention after %(days)s day(s): checkpoints (%(size)s)."),
}


def cleaned(given: dict[str, Any]) -> dict[str, int | None]:
    """{"logs": days or None, ...}, whole. Raises ValidationError with every wrong field."""
    errors = {name: [_("This is not kept by retention.")] for name in given.keys() - TEXTS.keys()}
    text = _("Give a whole number of days from 1 to %(most)s, or nothing to keep it for ever.") % {"most": MOST_DAYS}
    errors |= {name: [text] for name, days in given.items() if name in TEXTS and not _is_days(days)}
    if errors:
        raise ValidationError(errors)
    return {name: given.get(name) for name in TEXTS}


def _is_days(days: Any) -> bool:
    return days is None or (isinstance(days, int) and not isinstance(days, bool) and 1 <= days <= MOST_DAYS)


def run() -> None:
    """Each minute: remove what is older than its project keeps it. What fails is tried again the next time."""
    for project in Project.objects.exclude(retention={}):
        for kind, days in project.retention.items():
            if kind in TEXTS and days is not None:
                for training in _due(project, days):
                    try:
                        _apply(training, kind, days)
                    except OSError:
                        log.exception("retention: %s of training %s could not be removed", kind, training.pk)


def _due(project: Project, days: int) -> Iterator[Training]:
    """The trainings that ended longer ago. One that was stopped in the queue has no end of its own."""
    limit = timezone.now() - timedelta(days=days)
    ended = Training.objects.filter(project=project).exclude(status__in=Training.UNFINISHED)
    return ended.annotate(ended=Coalesce("finished_at", "updated_at")).filter(ended__lt=limit).iterator()


def _apply(training: Training, kind: str, days: int) -> None:
    pruning.remove_leftovers(training)
    if not set(pruning.files(training, kind)) - _kept(training, kind):
        return
    with transaction.atomic():  # nobody resumes it meanwhile
        locked = Training.objects.select_for_update().filter(pk=training.pk).first()
        if locked is None or locked.status in Training.UNFINISHED or lease.held(locked):
            return
        freed = pruning.remove(locked, set(pruning.files(locked, kind)) - _kept(locked, kind))
        reason = Message(TEXTS[kind], {"size": readable(freed), "days": days})
        lifecycle.record(locked, pruning.REMOVED[kind], reason=reason)
    log.info("retention: %s of training %s removed", kind, training.pk)


def _kept(training: Training, kind: str) -> set[Any]:
    return pruning.needed(training) if kind == "checkpoints" else set()
