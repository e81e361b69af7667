"""Datasets: upload or sample, report, preview."""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _t
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST

from console.access import load, load_project
from console.answers import refuse
from console.forms.datasets import DatasetForm
from console.views.lists import Column, List, Tab, show
from training import algorithms, services
from training.errors import Conflict
from training.models import Dataset, Role

DATASETS = List(
    name="datasets",
    item="dataset",
    title=_("Datasets"),
    create="dataset_create",
    create_label=_("Create dataset"),
    columns=(
        Column(_("Name"), "name"),
        Column(_("Status"), "status"),
        Column(_("Algorithm"), "algorithm", wide=True),
        Column(_("Images"), wide=True),
        Column(_("Created"), "created_at", wide=True),
    ),
    row="datasets/_row.html",
    empty="datasets/_empty.html",
    detail="datasets/_detail.html",
    unfinished=("UPLOADING", "VALIDATING", "DELETE_IN_PROGRESS"),
    filters=("status", "algorithm"),
)
OVERVIEW = Tab("overview", _("Overview"), "datasets/_overview.html")
REPORT = Tab("report", _("Report"), "datasets/_report.html")
PREVIEW = Tab("preview", _("Preview"), "datasets/_preview.html")
HISTORY = Tab("history", _("History"), "console/_events.html")


def datasets(request: HttpRequest, project: str, selected: Dataset | None = None) -> HttpResponse:
    owner = load_project(request, project)
    tabs = _tabs(selected) if selected else ()
    context = _context(request, selected) if selected else {"algorithms": algorithms.all_algorithms()}
    return show(request, DATASETS, Dataset.objects.filter(project=owner), selected, tabs, **context)


def _tabs(dataset: Dataset) -> tuple[Tab, ...]:
    ready = dataset.status == Dataset.Status.READY
    return (OVERVIEW, REPORT, PREVIEW, HISTORY) if ready else (OVERVIEW, REPORT, HISTORY)


def _context(request: HttpRequest, dataset: Dataset) -> dict[str, Any]:
    return {"events": dataset.events().select_related("actor"), "algorithms": algorithms.all_algorithms()}


def dataset(request: HttpRequest, project: str, pk: str) -> HttpResponse:
    return datasets(request, project, load(request, Dataset, pk, project=project))


def dataset_create(request: HttpRequest, project: str) -> HttpResponse:
    owner = load_project(request, project, Role.EDITOR)
    form = DatasetForm(request.POST or None, request.FILES or None)
    if request.method == "POST" and form.is_valid():
        made = form.call(services.dataset_create, project=owner, user=request.user, **form.cleaned_data)
        if made:
            return redirect("dataset", project, made.pk)
    return render(request, "datasets/create.html", {"form": form, "algorithms": algorithms.all_algorithms()})


@require_POST
def dataset_sample(request: HttpRequest, project: str) -> HttpResponse:
    owner = load_project(request, project, Role.EDITOR)
    made = services.dataset_create_sample(project=owner, user=request.user, algorithm=request.POST.get("algorithm", ""))
    return redirect("dataset", project, made.pk)


@require_POST
def dataset_delete(request: HttpRequest, project: str, pk: str) -> HttpResponse:
    doomed = load(request, Dataset, pk, Role.EDITOR, project)
    try:
        services.dataset_delete(dataset=doomed, user=request.user)
    except Conflict as error:
        refuse(request, error)
        return redirect("dataset", project, pk)
    messages.success(request, _t("%(name)s is being deleted.") % {"name": doomed.name})
    return redirect("datasets", project)


def dataset_image(request: HttpRequest, project: str, pk: str) -> HttpResponse:
    from training import previews

    shown = load(request, Dataset, pk, project=project)
    path, overlay = request.GET.get("path", ""), request.GET.get("overlay") == "1"
    return HttpResponse(previews.image(shown, path, overlay), content_type="image/png")
