"""Endpoints: the list and its detail tabs, making one, its default stage. Their keys: console/views/keys.py."""

from typing import Any

from django.contrib import messages
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from console.access import load, load_project
from console.addresses import absolute
from console.answers import refuse
from console.forms.endpoints import EndpointForm
from console.forms.keys import KeyForm, Line, lines
from console.forms.rollouts import RolloutForm
from console.views import rollouts
from console.views.lists import Column, List, Tab, show
from endpoints import services
from endpoints.models import Endpoint, Stage
from models_registry.models import Model
from training.errors import ServiceError
from training.models import Event, Project, Role

LIST = List(
    name="endpoints",
    item="endpoint",
    title=_("Endpoints"),
    create="endpoint_create",
    create_label=_("Create endpoint"),
    columns=(
        Column(_("Name"), "name"),
        Column(_("Status"), "status"),
        Column(_("Stages"), wide=True),
        Column(_("Access"), "access", wide=True),
        Column(_("Created"), "created_at", wide=True),
    ),
    row="endpoints/_row.html",
    empty="endpoints/_empty.html",
    detail="endpoints/_detail.html",
    unfinished=(
        Endpoint.Status.CREATE_REQUESTED,
        Endpoint.Status.CREATE_IN_PROGRESS,
        Endpoint.Status.UPDATE_IN_PROGRESS,
        Endpoint.Status.DELETE_IN_PROGRESS,
    ),
    filters=("status", "access"),
    styles=("css/training.css", "css/traffic.css"),
    scripts=("js/address.js",),
)
TABS = (
    Tab("stages", _("Stages"), "endpoints/_stages.html"),
    Tab("traffic", _("Traffic"), "endpoints/_traffic.html"),
    Tab("keys", _("Keys"), "endpoints/_keys.html"),
    Tab("events", _("Events"), "console/_events.html"),
)
SETTLED = (Stage.Status.ACTIVE, Stage.Status.DEPLOY_FAILED)


@require_GET
def endpoints(request: HttpRequest, project: str) -> HttpResponse:
    return show(request, LIST, _rows(load_project(request, project)))


@require_GET
def endpoint(request: HttpRequest, project: str, pk: str) -> HttpResponse:
    return page(request, load(request, Endpoint, pk, project=project))


def page(
    request: HttpRequest,
    chosen: Endpoint,
    key_form: KeyForm | None = None,
    rollout_form: RolloutForm | None = None,
    wrong_key: Line | None = None,
) -> HttpResponse:
    """The list with the detail of one below it. `wrong_key`: the key whose forms were refused."""
    stages = list(chosen.stages.prefetch_related("resources__model"))
    context = {
        "stages": stages,
        "moving": any(stage.status not in SETTLED for stage in stages),
        "url": absolute(request, chosen.path),
        "keys": lines(chosen.keys.order_by("revoked", "-created"), wrong_key),
        "key_form": key_form or KeyForm(),
        "events": _events(chosen),
        **rollouts.context(chosen, rollout_form),
    }
    return show(request, LIST, _rows(chosen.project), chosen, TABS, **context)


def _events(chosen: Endpoint) -> QuerySet[Event]:
    """Those of its rollouts, too."""
    tried = Q(kind="rollout", object_id__in=chosen.rollouts.values("pk"))
    found = Event.objects.filter(Q(kind="endpoint", object_id=chosen.pk) | tried)
    return found.select_related("actor")


def _rows(project: Project) -> Any:
    return Endpoint.objects.filter(project=project).select_related("default_stage").prefetch_related("stages")


@never_cache
def endpoint_create(request: HttpRequest, project: str) -> HttpResponse:
    """From a model's page (?model=) the rest is suggested. The answer shows the first key: it is stored nowhere."""
    home = load_project(request, project, Role.EDITOR)
    origin = Model.objects.filter(project=home, pk=request.GET.get("model", "")).first()
    suggested = {"model": origin.pk, "name": origin.name} if origin else {}
    form = EndpointForm(request.POST or None, project=home, initial=suggested)
    if request.method == "POST" and form.is_valid():
        values = form.cleaned_data | {"resource_path": form.cleaned_data["resource_path"] or "/inference"}
        made = form.call(services.endpoint_create, project=home, user=request.user, **values)
        if made:
            show_key(request, made[0], made[1])
            return page(request, made[0]) if made[1] else redirect("endpoint", project, made[0].pk)
    context = {"form": form, "heading": _("Create endpoint"), "back": reverse("endpoints", args=[project])}
    return render(request, "endpoints/create.html", context)


def show_key(request: HttpRequest, owner: Endpoint, key: str) -> None:
    """On top of the page that answers this very request, where no polling takes it away."""
    if key:
        messages.success(request, render_to_string("endpoints/_key.html", {"key": key, "endpoint": owner}))


@require_POST
def endpoint_delete(request: HttpRequest, project: str, pk: str) -> HttpResponse:
    doomed = load(request, Endpoint, pk, Role.EDITOR, project)
    try:
        services.endpoint_delete(endpoint=doomed, user=request.user)
    except ServiceError as error:
        refuse(request, error)
        return redirect("endpoint", project, pk)
    messages.success(request, gettext("%(name)s is being deleted.") % {"name": doomed.name})
    return redirect("endpoints", project)


@require_POST
def rollout_start(request: HttpRequest, project: str, pk: str) -> HttpResponse:
    """Try a stage with the endpoint's calls. A form that was refused is shown again (?tab=traffic)."""
    owner = load(request, Endpoint, pk, Role.EDITOR, project)
    form = RolloutForm(request.POST, endpoint=owner)
    if form.is_valid():
        made = form.call(services.rollout_start, endpoint=owner, user=request.user, **form.cleaned_data)
        if made:
            return rollouts.back(owner)
    return page(request, owner, rollout_form=form)


@require_POST
def endpoint_default(request: HttpRequest, project: str, pk: str, stage: str) -> HttpResponse:
    """Make another stage the default."""
    chosen = load(request, Stage, stage, Role.EDITOR, project)
    try:
        services.endpoint_set_default(endpoint=chosen.endpoint, stage=chosen, user=request.user)
    except ServiceError as error:
        refuse(request, error)
    return redirect("endpoint", project, pk)
