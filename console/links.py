"""From an object to its page."""

from collections.abc import Iterable
from typing import Any

from django.urls import reverse

from endpoints.models import Endpoint, Rollout
from models_registry.models import Model
from training.models import Dataset, Event, Experiment, Training

KINDS = {str(model._meta.model_name): model for model in (Dataset, Experiment, Training, Model, Endpoint, Rollout)}


def url_of(obj: Any) -> str:
    """The page of a project or of anything in one; a stage's is below its endpoint, a rollout's is a part of it."""
    kind = obj._meta.model_name
    if kind == "project":
        return reverse("dashboard", args=[obj.pk])
    if kind == "stage":
        return reverse("stage", args=[obj.project_id, obj.endpoint_id, obj.pk])
    if kind == "rollout":
        return f"{reverse('endpoint', args=[obj.project_id, obj.endpoint_id])}?tab=traffic"
    return reverse(kind, args=[obj.project_id, obj.pk])


def existing(events: Iterable[Event]) -> dict[tuple[str, str], str]:
    """{(kind, id): the page} of the events' objects that are still there: events outlive what they tell of."""
    found: dict[tuple[str, str], str] = {}
    for kind, model in KINDS.items():
        ids = {event.object_id for event in events if event.kind == kind}
        rows: Iterable[Any] = model.objects.filter(pk__in=ids) if ids else ()  # type: ignore[attr-defined]
        found |= {(kind, row.pk): url_of(row) for row in rows}
    return found
