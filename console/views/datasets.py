"""Datasets: upload or sample, report, preview."""

from functools import partial
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_GET, require_POST

from console import reports
from console.access import load, load_project
from console.answers import refuse
from console.forms.datasets import DatasetForm
from console.unfinished import UPLOAD_SENTENCES, unfinished_uploads
from console.views.lists import Column, List, Tab, show
from training import algorithms, previews, services, sources
from training.errors import Conflict
from training.models import Dataset, Role

DATASETS = List(
    name="datasets",
    item="dataset",
    title=_("Datasets"),
    create="dataset_create",
    create_label=_("Upload dataset"),
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
LARGE = 1600  # pixels of the longer side of an image that is looked at alone
OVERVIEW = Tab("overview", _("Overview"), "datasets/_overview.html")
REPORT = Tab("report", _("Report"), "datasets/_report.html")
PREVIEW = Tab("preview", _("Preview"), "datasets/_preview.html")
HISTORY = Tab("history", _("History"), "console/_events.html")


@require_GET
def datasets(request: HttpRequest, project: str, selected: Dataset | None = None) -> HttpResponse:
    owner = load_project(request, project)
    tabs = _tabs(selected) if selected else ()
    context = _context(request, selected) if selected else {"algorithms": algorithms.all_algorithms()}
    return show(request, DATASETS, Dataset.objects.filter(project=owner), selected, tabs, **context)


def _tabs(dataset: Dataset) -> tuple[Tab, ...]:
    ready = dataset.status == Dataset.Status.READY
    if dataset.status == Dataset.Status.INVALID:
        return (REPORT, OVERVIEW, HISTORY)
    return (OVERVIEW, REPORT, PREVIEW, HISTORY) if ready else (OVERVIEW, HISTORY)


def _context(request: HttpRequest, dataset: Dataset) -> dict[str, Any]:
    """What the tabs may need. What costs something is a function: a template calls only what it shows."""
    return {
        "algorithms": algorithms.all_algorithms(),
        "classes": partial(reports.classes, dataset),
        "problems": partial(reports.problems, dataset, request.GET.get("level", "")),
        "mends": partial(reports.mends, dataset),
        "can_check": partial(services.dataset_can_check, dataset),
        "versions": partial(reports.versions, dataset),
        "preview": partial(reports.preview, dataset, request.GET),
        "phase": reports.PHASES.get(dataset.progress.get("phase", ""), ""),
        "events": dataset.events().select_related("actor"),
    }


@require_GET
def dataset(request: HttpRequest, project: str, pk: str) -> HttpResponse:
    return datasets(request, project, load(request, Dataset, pk, project=project))


def dataset_create(request: HttpRequest, project: str) -> HttpResponse:
    owner = load_project(request, project, Role.EDITOR)
    form = DatasetForm(request.POST or None, request.FILES or None)
    if request.method == "POST" and form.is_valid():
        made = form.call(services.dataset_create, project=owner, user=request.user, **form.cleaned_data)
        if made:
            return redirect("dataset", project, made.pk)
    context = {
        "form": form,
        "heading": DATASETS.create_label,
        "algorithms": algorithms.all_algorithms(),
        "limit": settings.UPLOAD_MAX_BYTES,
        "stalled": settings.UPLOAD_STALLED_SECONDS,
        "unfinished": unfinished_uploads(owner, request.user),
        "sentences": UPLOAD_SENTENCES,
        "can_import": bool(sources.available()),
    }
    return render(request, "datasets/create.html", context)


@require_POST
def dataset_sample(request: HttpRequest, project: str) -> HttpResponse:
    owner = load_project(request, project, Role.EDITOR)
    algorithm = request.POST.get("algorithm", "")
    try:
        made = services.dataset_create_sample(project=owner, user=request.user, algorithm=algorithm)
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
        return redirect("dataset_create", project)
    return redirect("dataset", project, made.pk)


@require_POST
def dataset_delete(request: HttpRequest, project: str, pk: str) -> HttpResponse:
    doomed = load(request, Dataset, pk, Role.EDITOR, project)
    try:
        services.dataset_delete(dataset=doomed, user=request.user)
    except Conflict as error:
        refuse(request, error)
        return redirect("dataset", project, pk)
    messages.success(request, gettext("%(name)s is being deleted.") % {"name": doomed.name})
    return redirect("datasets", project)


@require_POST
def dataset_check(request: HttpRequest, project: str, pk: str) -> HttpResponse:
    unchecked = load(request, Dataset, pk, Role.EDITOR, project)
    try:
        services.dataset_check(dataset=unchecked, user=request.user)
    except Conflict as error:
        refuse(request, error)
    return redirect("dataset", project, pk)


@require_POST
def dataset_mend(request: HttpRequest, project: str, pk: str) -> HttpResponse:
    """Make a new version with the chosen mends, and go there."""
    base = load(request, Dataset, pk, Role.EDITOR, project)
    chosen = request.POST.getlist("mends")
    try:
        made = services.dataset_mend(dataset=base, user=request.user, mends=chosen)
    except Conflict as error:
        refuse(request, error)
    except ValidationError as error:  # its codes are for programs; a page can only send none, or what is gone meanwhile
        messages.error(request, " ".join(error.messages) if chosen else gettext("Choose at least one mend."))
    else:
        messages.success(request, gettext("%(name)s is being made.") % {"name": made.name})
        return redirect("dataset", project, made.pk)
    return redirect(reverse("dataset", args=[project, pk]) + "?tab=report")


@require_GET
def dataset_image(request: HttpRequest, project: str, pk: str) -> HttpResponse:
    """?path= of one image, small or (?large=1) large, with its labels drawn in (?overlay=1)."""
    shown = load(request, Dataset, pk, project=project)
    side = LARGE if request.GET.get("large") == "1" else previews.SIDE
    try:
        content, kind = previews.image(shown, request.GET.get("path", ""), request.GET.get("overlay") == "1", side)
    except FileNotFoundError as error:
        raise Http404 from error
    return HttpResponse(content, content_type=kind, headers={"Cache-Control": "private, max-age=86400"})
