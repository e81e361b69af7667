"""A stage: its page, and what can be done to it. Its figures: console/views/figures.py."""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_GET, require_POST

from console import samples
from console.access import load
from console.addresses import absolute
from console.answers import refuse
from console.forms.endpoints import ResourceForm, StageForm
from console.forms.resources import Setup, setups
from console.views import figures
from console.views.tryit import LARGEST_IMAGE, SENTENCES
from endpoints import services
from endpoints.models import Endpoint, Stage
from training.errors import ServiceError
from training.models import Role

EVENTS = 50  # that the page shows
UNFINISHED = (Stage.Status.CREATE_REQUESTED, Stage.Status.DEPLOY_IN_PROGRESS, Stage.Status.DELETE_IN_PROGRESS)


@require_GET
def stage(request: HttpRequest, project: str, endpoint: str, pk: str) -> HttpResponse:
    """The page. What moves asks for itself: the status until it is another one, and the figures."""
    chosen = _stage(request, project, pk)
    if request.htmx.target == "figures":  # type: ignore[attr-defined]
        return render(request, "endpoints/_figures.html", figures.context(request, chosen))
    if request.htmx.target == "status":  # type: ignore[attr-defined]
        response = render(request, "endpoints/_status.html", {"stage": chosen})
        if request.GET.get("seen") != chosen.status:
            response.headers["HX-Refresh"] = "true"
        return response
    return render(request, "endpoints/stage.html", page_context(request, chosen))


def _stage(request: HttpRequest, project: str, pk: str, role: str = Role.VIEWER) -> Stage:
    return load(request, Stage, pk, role, project)


def page_context(request: HttpRequest, chosen: Stage, wrong: Setup | None = None) -> dict[str, Any]:
    """Of the whole page. `wrong`: the resource whose forms were refused."""
    return _context(request, chosen, wrong) | figures.context(request, chosen)


def _context(request: HttpRequest, chosen: Stage, wrong: Setup | None = None) -> dict[str, Any]:
    resources = list(chosen.resources.select_related("model__training__dataset", "next_model", "stage__endpoint"))
    return {
        "stage": chosen,
        "endpoint": chosen.endpoint,
        "resources": resources,
        "samples": [(resource, samples.paths(resource.model.training.dataset)) for resource in resources],
        "url": absolute(request, chosen.path),
        "endpoint_url": absolute(request, chosen.endpoint.path),
        "unfinished": chosen.status in UNFINISHED,
        "largest_image": LARGEST_IMAGE,
        "sentences": SENTENCES,
        "resource_form": ResourceForm(project=chosen.endpoint.project),
        "setups": setups(resources, wrong),
        "can_try": chosen.status == Stage.Status.ACTIVE or any(row.sockets for row in resources),
        "goes_on": any(row.sockets and row.serving != row.deployment for row in resources),
        "events": chosen.events().select_related("actor")[:EVENTS],
    }


def stage_create(request: HttpRequest, project: str, endpoint: str) -> HttpResponse:
    owner = load(request, Endpoint, endpoint, Role.EDITOR, project)
    form = StageForm(request.POST or None, project=owner.project)
    if request.method == "POST" and form.is_valid():
        values = form.cleaned_data | {"resource_path": form.cleaned_data["resource_path"] or "/inference"}
        made = form.call(services.stage_create, endpoint=owner, user=request.user, **values)
        if made:
            return redirect("stage", project, endpoint, made.pk)
    back = reverse("endpoint", args=[project, endpoint])
    return render(request, "endpoints/stage_create.html", {"form": form, "heading": _("Add stage"), "back": back})


@require_POST
def resource_add(request: HttpRequest, project: str, endpoint: str, pk: str) -> HttpResponse:
    """A second model on the stage."""
    chosen = _stage(request, project, pk, Role.EDITOR)
    form = ResourceForm(request.POST, project=chosen.endpoint.project)
    if form.is_valid():
        added = form.call(services.resource_add, stage=chosen, user=request.user, **form.cleaned_data)
        if added:
            return redirect("stage", project, endpoint, pk)
    return render(request, "endpoints/stage.html", page_context(request, chosen) | {"resource_form": form})


@require_POST
def stage_redeploy(request: HttpRequest, project: str, endpoint: str, pk: str) -> HttpResponse:
    chosen = _stage(request, project, pk, Role.EDITOR)
    try:
        services.stage_redeploy(stage=chosen, user=request.user)
    except ServiceError as error:
        refuse(request, error)
    return redirect("stage", project, endpoint, pk)


@require_POST
def stage_delete(request: HttpRequest, project: str, endpoint: str, pk: str) -> HttpResponse:
    doomed = _stage(request, project, pk, Role.EDITOR)
    try:
        services.stage_delete(stage=doomed, user=request.user)
    except ServiceError as error:
        refuse(request, error)
        return redirect("stage", project, endpoint, pk)
    messages.success(request, gettext("%(name)s is being deleted.") % {"name": doomed.name})
    return redirect("endpoint", project, endpoint)
