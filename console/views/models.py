"""Models: the list and its detail tabs, making one of a training, download, delete."""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_GET, require_POST

from console import results
from console.access import load, load_project
from console.answers import refuse
from console.downloads import Archive
from console.forms.models import ModelForm
from console.views.lists import Column, List, Tab, show
from models_registry import services
from models_registry.models import Model
from training.errors import ServiceError
from training.models import Project, Role, Training

LIST = List(
    name="models",
    item="model",
    title=_("Models"),
    create="model_create",
    create_label=_("Create model"),
    columns=(
        Column(_("Name"), "name"),
        Column(_("Status"), "status"),
        Column(_("Algorithm, training"), "algorithm", wide=True),
        Column(_("Result"), wide=True),
        Column(_("Size"), "disk_bytes", wide=True),
        Column(_("Created"), "created_at", wide=True),
    ),
    row="models/_row.html",
    empty="models/_empty.html",
    detail="models/_detail.html",
    unfinished=(Model.Status.CREATE_REQUESTED, Model.Status.CREATE_IN_PROGRESS, Model.Status.DELETE_IN_PROGRESS),
    search=("name", "description", "training__name"),
    filters=("status", "algorithm"),
    styles=("css/training.css",),
)
TABS = (
    Tab("overview", _("Overview"), "models/_overview.html"),
    Tab("files", _("Files"), "models/_files.html"),
    Tab("export", _("Export report"), "models/_export.html"),
    Tab("events", _("Events"), "console/_events.html"),
)


@require_GET
def models(request: HttpRequest, project: str) -> HttpResponse:
    return show(request, LIST, _rows(load_project(request, project)))


@require_GET
def model(request: HttpRequest, project: str, pk: str) -> HttpResponse:
    chosen = load(request, Model, pk, project=project)
    context = {
        "results": results.results(chosen),
        "per_class": results.class_results(chosen),
        "serving": [
            resource.stage
            for rows in (chosen.resources, chosen.coming_resources)
            for resource in rows.select_related("stage__endpoint")
        ],
        "events": chosen.events(),
    }
    return show(request, LIST, _rows(chosen.project), chosen, TABS, **context)


def _rows(project: Project) -> Any:
    return Model.objects.filter(project=project).select_related("training")


def model_create(request: HttpRequest, project: str) -> HttpResponse:
    """From the page of a COMPLETE training (?training=) only the name is left to write, and that is suggested."""
    home = load_project(request, project, Role.EDITOR)
    origin = Training.objects.filter(project=home, pk=request.GET.get("training", "")).first()
    suggested = {"training": origin.pk, "name": origin.name} if origin else {}
    form = ModelForm(request.POST or None, project=home, initial=suggested)
    if request.method == "POST" and form.is_valid():
        made = form.call(services.model_create, project=home, user=request.user, **form.cleaned_data)
        if made:
            return redirect("model", project, made.pk)
    context = {"form": form, "heading": _("Create model"), "back": reverse("models", args=[project])}
    return render(request, "models/create.html", context)


@require_GET
def model_download(request: HttpRequest, project: str, pk: str) -> HttpResponse | Archive:
    """All of the model's files as one archive."""
    chosen = load(request, Model, pk, project=project)
    try:
        pieces = services.model_archive(chosen)
    except ServiceError as error:
        refuse(request, error)
        return redirect("model", project, pk)
    return Archive(pieces, f"{chosen.name}.zip")


@require_POST
def model_delete(request: HttpRequest, project: str, pk: str) -> HttpResponse:
    doomed = load(request, Model, pk, Role.EDITOR, project)
    try:
        services.model_delete(model=doomed, user=request.user)
    except ServiceError as error:
        refuse(request, error)
        return redirect("model", project, pk)
    messages.success(request, gettext("%(name)s has been deleted.") % {"name": doomed.name})
    return redirect("models", project)
