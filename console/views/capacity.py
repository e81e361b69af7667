"""The capacity card of a stage's resources."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_POST

from console.access import load
from console.answers import refuse
from endpoints import services
from endpoints.models import Stage, StageResource
from training.errors import ServiceError
from training.models import Role


@require_GET
def capacity(request: HttpRequest, project: str, endpoint: str, pk: str, resource: str) -> HttpResponse:
    """The card alone: it asks for itself while it is measured."""
    stage = load(request, Stage, pk, Role.VIEWER, project)
    row = get_object_or_404(StageResource, pk=resource, stage=stage)
    context = {"stage": stage, "endpoint": stage.endpoint, "resource": row, "project": stage.endpoint.project}
    return render(request, "endpoints/_capacity.html", context)


@require_POST
def capacity_measure(request: HttpRequest, project: str, endpoint: str, pk: str, resource: str) -> HttpResponse:
    stage = load(request, Stage, pk, Role.EDITOR, project)
    try:
        services.capacity_measure(
            resource=get_object_or_404(StageResource, pk=resource, stage=stage), user=request.user
        )
    except ServiceError as error:
        refuse(request, error)
    return redirect("stage", project, endpoint, pk)
