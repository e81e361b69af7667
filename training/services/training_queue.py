"""The queue as a person sees and changes it: places, expected starts, priorities."""

from datetime import datetime
from typing import Any

from django.db import transaction

from training import forecast, lifecycle, queue
from training.algorithms.base import Message, gettext_noop
from training.errors import Conflict
from training.models import Priority, Training
from training.services.naming import raise_if
from training.services.training_fields import priority_errors

WORDS = {
    Priority.HIGH: gettext_noop("High"),
    Priority.NORMAL: gettext_noop("Normal"),
    Priority.LOW: gettext_noop("Low"),
}


def training_position(training: Training) -> int:
    """The place in the queue: 1 is next, 0 when the training is not queued."""
    return queue.position(training)


def training_expected_start(training: Training) -> datetime | None:
    """About when a queued training begins; None when it is not queued, or nothing is known to tell it by."""
    place = forecast.places().get(training.pk)
    return place.expected_start if place else None


def training_places() -> dict[str, forecast.Place]:
    """Position and expected start of every queued training, by id: for lists, which would ask for each."""
    return forecast.places()


def training_set_priority(*, training: Training, user: Any, priority: Any) -> None:
    """Put a queued training before (1) or behind (-1) the others. Raises ValidationError, or Conflict once it runs."""
    raise_if(priority_errors(priority))
    with transaction.atomic():
        locked = lifecycle.locked(training)
        if locked.status != "CREATE_REQUESTED":
            raise Conflict(Message(gettext_noop("The training is no longer in the queue: its priority has no effect.")))
        if locked.priority != priority:
            words = {"old": Message(WORDS[locked.priority]), "new": Message(WORDS[Priority(priority)])}
            text = gettext_noop("%(user)s changed the priority from %(old)s to %(new)s.")
            reason = Message(text, {"user": user.get_username(), **words})
            lifecycle.record(locked, "priority", reason=reason, actor=user)
            Training.objects.filter(pk=training.pk).update(priority=priority)
    training.priority = priority
