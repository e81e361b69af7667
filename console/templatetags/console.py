"""What the templates share: icons, status badges, stored messages, sizes and durations."""

from collections.abc import Iterable
from functools import cache
from typing import Any

from django import template
from django.apps import apps
from django.conf import settings
from django.db import models
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext, gettext_noop, ngettext

from console.links import url_of
from training import algorithms
from training.models import Event, Status

MOVING = {"UPLOADING", "VALIDATING", "RUNNING", "CREATE_REQUESTED"}

KIND_NAMES = {
    "dataset": gettext_noop("Dataset"),
    "experiment": gettext_noop("Experiment"),
    "training": gettext_noop("Training"),
    "model": gettext_noop("Model"),
    "endpoint": gettext_noop("Endpoint"),
    "stage": gettext_noop("Stage"),
    "project": gettext_noop("Project"),
    "rollout": gettext_noop("Rollout"),
}
EVENT_NAMES = {  # what may happen to an object besides a move to another status
    "capacity": gettext_noop("capacity measurement"),
    "checkpoint": gettext_noop("checkpoint"),
    "checkpoints_removed": gettext_noop("checkpoints removed"),
    "configured": gettext_noop("configured"),
    "created": gettext_noop("created"),
    "default_stage": gettext_noop("default stage"),
    "deleted": gettext_noop("deleted"),
    "images_kept": gettext_noop("images kept"),
    "images_removed": gettext_noop("images no longer kept"),
    "engine_replaced": gettext_noop("engine replaced"),
    "key_created": gettext_noop("key created"),
    "key_limit_set": gettext_noop("key limit changed"),
    "key_revoked": gettext_noop("key revoked"),
    "key_rotated": gettext_noop("key rotated"),
    "log_removed": gettext_noop("log removed"),
    "logs_deleted": gettext_noop("logs deleted"),
    "member_removed": gettext_noop("member removed"),
    "member_set": gettext_noop("member set"),
    "priority": gettext_noop("priority"),
    "reattached": gettext_noop("reattached"),
    "retention_set": gettext_noop("retention set"),
    "tensorboard_removed": gettext_noop("TensorBoard removed"),
}

register = template.Library()
register.filter("url_of", url_of)


@cache
def _svg(name: str) -> str:
    return (settings.NODE_MODULES / "bootstrap-icons" / "icons" / f"{name}.svg").read_text(encoding="utf-8")


@register.simple_tag
def icon(name: str, classes: str = "") -> SafeString:
    """An icon of bootstrap-icons, inline. Decoration only: the text beside it, or an aria-label, says what it means."""
    svg = _svg(name).replace("<svg ", '<svg aria-hidden="true" focusable="false" ', 1)
    return mark_safe(svg.replace('class="bi', f'class="icon {classes} bi', 1))


@register.simple_tag
def badge(obj: models.Model) -> SafeString:
    """The status of an object, in its colour. What still moves has a pulsing dot."""
    status = obj.Status(obj.status)  # type: ignore[attr-defined]
    return status_badge(status, moving=status.value.endswith("_IN_PROGRESS") or status.value in MOVING)


def status_badge(status: Status, moving: bool) -> SafeString:
    return format_html(
        '<span class="status status-{}"><span class="status-dot{}"></span>{}</span>',
        status.colour,
        " status-dot-animated" if moving else "",
        status.label,
    )


@register.filter
def colour(obj: models.Model) -> str:
    """The Tabler colour of an object's status."""
    return obj.Status(obj.status).colour  # type: ignore[attr-defined]


@register.filter
def event_badge(event: Event) -> SafeString | str:
    """What happened: a status as a badge, something else as a word."""
    kinds = {model._meta.model_name: model for model in apps.get_models() if hasattr(model, "TRANSITIONS")}
    statuses = getattr(kinds.get(event.kind), "Status", None)
    if statuses is not None and event.to_status in statuses.values:
        return status_badge(statuses(event.to_status), moving=False)
    return gettext(EVENT_NAMES.get(event.to_status, event.to_status))


@register.filter
def translated(text: str) -> str:
    """A text marked with gettext_noop where Django is not at hand, such as those of the algorithms."""
    return gettext(text) if text else ""


@register.filter
def kind_name(kind: str) -> str:
    """The kind of an event's object as a word."""
    return gettext(KIND_NAMES[kind]) if kind in KIND_NAMES else kind


@register.filter
def message(value: dict[str, Any] | None) -> str:
    """A stored Message, {"text", "params"}, in the reader's language."""
    if not value:
        return ""
    text = gettext(value["text"])
    params = {name: message(v) if isinstance(v, dict) else v for name, v in (value.get("params") or {}).items()}
    return text % params if params else text


@register.filter
def algorithm_name(key: str) -> str:
    return gettext(algorithms.get(key).name)


@register.filter
def duration(seconds: float | None) -> str:
    """Seconds in words, the two largest units: 45 s, 3 min 5 s, 2 h 10 min, 3 d 4 h."""
    if seconds is None:
        return "–"
    whole = max(0, round(seconds))
    minutes, s = divmod(whole, 60)
    hours, m = divmod(minutes, 60)
    days, h = divmod(hours, 24)
    if days:
        return gettext("%(days)d d %(hours)d h") % {"days": days, "hours": h}
    if hours:
        return gettext("%(hours)d h %(minutes)d min") % {"hours": hours, "minutes": m}
    if minutes:
        return gettext("%(minutes)d min %(seconds)d s") % {"minutes": minutes, "seconds": s}
    return gettext("%(seconds)d s") % {"seconds": s}


@register.filter
def percent_of(part: float, whole: float) -> int:
    """A share as a whole percentage, 0 of nothing: the width of a bar."""
    return round(100 * part / whole) if whole else 0


@register.filter
def images_text(count: int) -> str:
    return ngettext("%(count)d image", "%(count)d images", count) % {"count": count}


@register.filter
def filename(path: str) -> str:
    """The last part of a path."""
    return path.rpartition("/")[2]


@register.filter
def first_line(text: str) -> str:
    """What happened, without the log's lines that follow."""
    return text.partition("\n")[0]


@register.filter
def get(mapping: dict[str, Any], key: str) -> Any:
    return mapping.get(key)


@register.filter
def total(numbers: Iterable[int]) -> int:
    return sum(numbers)
