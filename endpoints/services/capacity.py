"""Ordering the measurement of a stage resource's capacity: a worker does it (endpoints.capacity)."""

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django_q.tasks import async_task

from endpoints.models import Stage, StageResource
from training import lifecycle
from training.algorithms.base import Message, gettext_noop
from training.errors import Conflict

LOST_AFTER = timedelta(minutes=10)  # a measurement takes two at most; its worker was killed


@transaction.atomic
def capacity_measure(*, resource: StageResource, user: Any) -> None:
    """Measure again. Asking twice is the same as once. Raises Conflict unless the stage is ACTIVE."""
    row = StageResource.objects.select_for_update().select_related("stage").filter(pk=resource.pk).first()
    if row is None or row.stage.status != Stage.Status.ACTIVE:
        raise Conflict(Message(gettext_noop("Only an ACTIVE stage can be measured.")))
    if _is_waiting(row):
        return
    reason = Message(gettext_noop("The capacity of %(path)s is measured."), {"path": row.path})
    lifecycle.record(row.stage, "capacity", reason=reason, actor=user)
    _order(row)
    resource.capacity_requested_at = row.capacity_requested_at


def capacities_order() -> None:
    """What the minute's reconcile does: measure what was never measured, or not to the end."""
    for row in StageResource.objects.filter(stage__status=Stage.Status.ACTIVE).exclude(sockets=[]):
        never = not row.capacity and settings.CAPACITY_AUTOMATIC
        if (never or row.capacity_requested_at is not None) and not _is_waiting(row):
            with transaction.atomic():
                _order(row)


def _is_waiting(row: StageResource) -> bool:
    asked = row.capacity_requested_at
    return asked is not None and timezone.now() - asked < LOST_AFTER


def _order(row: StageResource) -> None:
    row.capacity_requested_at = timezone.now()
    row.save(update_fields=["capacity_requested_at"])
    transaction.on_commit(lambda: async_task("endpoints.tasks.capacity_measure", row.pk))
