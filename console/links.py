"""From an object to its page."""

from typing import Any

from django.urls import reverse


def url_of(obj: Any) -> str:
    """The page of a project or of anything in one; a stage's is below its endpoint."""
    kind = obj._meta.model_name
    if kind == "project":
        return reverse("dashboard", args=[obj.pk])
    if kind == "stage":
        return reverse("stage", args=[obj.project_id, obj.endpoint_id, obj.pk])
    return reverse(kind, args=[obj.project_id, obj.pk])
