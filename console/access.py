"""Who may see and change what. Every page, API call, file and log starts with `load()`."""

from typing import Any, TypeVar, cast

from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db import models
from django.db.models import F
from django.http import Http404, HttpRequest
from django.shortcuts import get_object_or_404

from endpoints.models import EndpointKey, Rollout, Stage, StageResource
from training.models import Membership, Project, Role

M = TypeVar("M", bound=models.Model)

# From a model to its project, where that is not simply its own field `project`.
PATHS: dict[type[models.Model], str] = {
    Project: "pk",
    Stage: "endpoint__project",
    EndpointKey: "endpoint__project",
    Rollout: "endpoint__project",
    StageResource: "stage__endpoint__project",
}


def load(request: HttpRequest, model: type[M], pk: str, role: str = Role.VIEWER, project: str | None = None) -> M:
    """Return the object when the person is a member of its project with at least `role`.

    `project` (an id, from the URL) must be the object's project when given. The membership stays on
    `request.membership`, where templates find project and role.
    Raises Http404 when the person may not see the object, PermissionDenied when they may not change it.
    """
    if not request.user.is_authenticated:
        raise Http404
    path = PATHS.get(model, "project")
    found = mine(request, model).filter(pk=pk, **({path: project} if project else {}))
    annotated: Any = found.annotate(its_project=F(path))  # one question: the object may be gone a moment later
    obj = get_object_or_404(annotated)
    memberships = Membership.objects.filter(user=request.user).select_related("project")
    membership = get_object_or_404(memberships, project=obj.its_project)
    request.membership = membership  # type: ignore[attr-defined]
    if not Role(membership.role).includes(role):
        raise PermissionDenied
    return cast(M, obj)


def load_project(request: HttpRequest, pk: str, role: str = Role.VIEWER) -> Project:
    """The project of a page."""
    return load(request, Project, pk, role)


def mine(request: HttpRequest, model: type[M]) -> "models.QuerySet[M]":
    """Every object of `model` in the person's projects."""
    memberships = Membership.objects.filter(user=person(request))
    return model._default_manager.filter(**{f"{PATHS.get(model, 'project')}__in": memberships.values("project")})


def person(request: HttpRequest) -> User:
    """Who is logged in; the middleware and the API let nobody else come so far. Raises PermissionDenied."""
    if not request.user.is_authenticated:
        raise PermissionDenied
    return request.user
