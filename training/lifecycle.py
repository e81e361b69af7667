"""The one place that writes a status.

`move()` is a compare-and-set on the old status: when two processes want to move the same object,
one wins and the other is told. Every move leaves an `Event` row in the same transaction; history,
audit and page all read that row.
"""

from typing import Any

from django.db import models, transaction
from django.utils import timezone

from training.algorithms.base import Message, gettext_noop
from training.errors import Conflict


class NotAllowed(Exception):
    """The transition table has no such step. A programming error, not a race."""


def allowed(obj: models.Model, to: str) -> bool:
    return to in obj.TRANSITIONS.get(obj.status, ())  # type: ignore[attr-defined]


def move(obj: Any, to: str, *, reason: Message | None = None, actor: Any = None, **fields: Any) -> bool:
    """Move `obj` (any model with `status`, `status_reason` and TRANSITIONS) from the status it holds.

    `fields` are written in the same UPDATE. Returns False when another process moved it first; `obj`
    is then refreshed, so that the caller can look at what it is now. Raises NotAllowed when the
    table has no such step.
    """
    if not allowed(obj, to):
        raise NotAllowed(f"{obj._meta.label} {obj.pk}: {obj.status} -> {to}")
    changes = {
        "status": to,
        "status_reason": reason.as_json() if reason else None,
        "updated_at": timezone.now(),  # auto_now is save()'s business, not update()'s
        **fields,
    }
    with transaction.atomic():
        changed = type(obj).objects.filter(pk=obj.pk, status=obj.status).update(**changes)
        if changed:
            record(obj, to, from_status=obj.status, reason=reason, actor=actor)
    if not changed:
        obj.refresh_from_db()
        return False
    for name, value in changes.items():
        setattr(obj, name, value)
    return True


def locked(obj: Any) -> Any:
    """The row of `obj` as it is now, held until the transaction ends. Raises Conflict when it has just been deleted."""
    row = type(obj).objects.select_for_update().filter(pk=obj.pk).first()
    if row is None:
        raise Conflict(Message(gettext_noop("%(name)s has just been deleted."), {"name": obj.name}))
    return row


def record(obj: Any, what: str, *, from_status: str = "", reason: Message | None = None, actor: Any = None) -> None:
    """Write an Event about `obj`: a status it moved to, or (in lower case) something else that happened."""
    from training.models import Event  # models.py imports nothing of this module; this keeps it one way

    Event.objects.create(
        project_id=obj.project_id,
        kind=obj._meta.model_name,
        object_id=obj.pk,
        object_name=obj.name,
        from_status=from_status,
        to_status=what,
        reason=reason.as_json() if reason else None,
        actor=actor,
    )
