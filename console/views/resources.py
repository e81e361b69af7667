"""Changes to one resource of a stage: another model, other engines. The page that refuses one says why."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST

from console.access import load
from console.forms.resources import EnginesForm, ReplaceForm, Setup
from console.views.stages import page_context
from endpoints import services
from endpoints.models import Stage, StageResource
from training.models import Role


@require_POST
def resource_replace(request: HttpRequest, project: str, endpoint: str, pk: str, resource: str) -> HttpResponse:
    """Another model under the same path."""
    row = _resource(request, project, pk, resource)
    form = ReplaceForm(request.POST, resource=row)
    if form.is_valid():
        changed = form.call(services.resource_replace, resource=row, user=request.user, **form.cleaned_data)
        if changed:
            return redirect("stage", project, endpoint, pk)
    return _refused(request, Setup(row, form, EnginesForm(resource=row)))


@require_POST
def resource_configure(request: HttpRequest, project: str, endpoint: str, pk: str, resource: str) -> HttpResponse:
    """How many engines, and how they batch."""
    row = _resource(request, project, pk, resource)
    form = EnginesForm(request.POST, resource=row)
    if form.is_valid():
        changed = form.call(services.resource_configure, resource=row, user=request.user, **form.cleaned_data)
        if changed:
            return redirect("stage", project, endpoint, pk)
    return _refused(request, Setup(row, ReplaceForm(resource=row), form))


def _resource(request: HttpRequest, project: str, stage: str, pk: str) -> StageResource:
    chosen = load(request, Stage, stage, Role.EDITOR, project)
    return get_object_or_404(chosen.resources.select_related("model", "stage__endpoint"), pk=pk)


def _refused(request: HttpRequest, wrong: Setup) -> HttpResponse:
    return render(request, "endpoints/stage.html", page_context(request, wrong.resource.stage, wrong))
