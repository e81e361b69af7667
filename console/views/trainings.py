"""Trainings: the list and its detail tabs, the form, and what the status allows to do."""

from functools import partial
from typing import Any

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.utils.functional import SimpleLazyObject
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_GET, require_POST

from console import logs, results
from console.access import load, load_project
from console.answers import refuse
from console.downloads import Download
from console.forms.trainings import DEVICES, WEIGHTS, TrainingForm, chosen_algorithm, initial
from console.views.lists import Column, List, Tab, show
from console.views.logs import log_file
from models_registry.models import Model
from training import algorithms, pruning, services
from training.errors import ServiceError
from training.models import Priority, Project, Training

LIST = List(
    name="trainings",
    item="training",
    title=_("Training"),
    create="training_create",
    create_label=_("Create training"),
    columns=(
        Column(_("Name"), "name"),
        Column(_("Status, progress"), "status"),
        Column(_("Algorithm, dataset"), "algorithm", wide=True),
        Column(_("Result"), wide=True),
        Column(_("Created"), "created_at", wide=True),
    ),
    row="trainings/_row.html",
    empty="trainings/_empty.html",
    detail="trainings/_detail.html",
    unfinished=Training.UNFINISHED,
    search=("name", "description", "dataset_name", "experiment__name"),
    filters=("status", "algorithm"),
    styles=("npm/uplot/uPlot.min.css", "css/training.css"),
    libraries=("npm/uplot/uPlot.iife.min.js",),
    scripts=("js/charts.js", "js/log.js"),
)
TABS = (
    Tab("overview", _("Overview"), "trainings/_overview.html"),
    Tab("hyperparameters", _("Hyperparameters"), "trainings/_hyperparameters.html"),
    Tab("log", _("Log"), "trainings/_log.html"),
    Tab("events", _("Events"), "trainings/_events.html"),
)
PHASES = {
    "preparing": _("Preparing weights and data"),
    "training": _("Training"),
    "evaluating": _("Evaluating on the validation images"),
    "testing": _("Evaluating on the test images"),
    "saving": _("Saving the model"),
}


@require_GET
def trainings(request: HttpRequest, project: str) -> HttpResponse:
    return show(request, LIST, _rows(load_project(request, project)), places=_places())


@require_GET
def training(request: HttpRequest, project: str, pk: str) -> HttpResponse:
    """The list with a training's tabs below it. Its progress asks for itself (`live`) and, when the status is no
    longer the one that the page shows (`seen`), for all of the detail."""
    chosen = load(request, Training, pk, project=project)
    context = _context(request, chosen)
    if request.htmx.target == "live":  # type: ignore[attr-defined]
        stale = request.GET.get("seen") != chosen.status
        return render(request, "trainings/_live.html", context | {"selected": chosen, "stale": stale})
    return show(request, LIST, _rows(chosen.project), chosen, TABS, **context)


def _rows(project: Project) -> Any:
    return Training.objects.filter(project=project).select_related("dataset", "experiment")


def _context(request: HttpRequest, chosen: Training) -> dict[str, Any]:
    """What the tabs may need. What costs something is a function: a template calls only what it shows."""
    word = request.GET.get("q", "").strip()
    return {
        "phase": PHASES.get(chosen.phase, ""),
        "places": _places(),
        "priorities": Priority.choices,
        "results": partial(results.results, chosen),
        "class_results": partial(results.class_results, chosen),
        "models": chosen.models.all,
        "word": word,
        "log": partial(logs.matching, chosen.log_path, word) if word else partial(logs.tail, chosen.log_path),
        "removed": partial(pruning.removed, chosen),
        "finished": chosen.status not in Training.UNFINISHED,
        "took": _took(chosen),
        "timeout": chosen.timeout_minutes * 60,
        "initial_weights": partial(_weights, chosen),
        "device": dict(DEVICES).get(chosen.device, chosen.device),
    }


def _places() -> Any:
    """Of the queue; looked up when the first queued training is shown."""
    return SimpleLazyObject(services.training_places)


def _took(chosen: Training) -> float | None:
    """Seconds from start to end."""
    if chosen.started_at is None or chosen.finished_at is None:
        return None
    return (chosen.finished_at - chosen.started_at).total_seconds()


def _weights(chosen: Training) -> str:
    """The initial weights in words: one of the form's choices, or the name of a model."""
    known = dict(WEIGHTS).get(chosen.initial_weights)
    model = Model.objects.filter(project=chosen.project_id, pk=chosen.initial_weights).first()
    return str(known or model or chosen.initial_weights)


@require_GET
def training_metrics(request: HttpRequest, project: str, pk: str) -> JsonResponse:
    """The series of the charts: see static/js/charts.js."""
    chosen = load(request, Training, pk, project=project)
    return JsonResponse({"charts": results.charts(chosen), "unfinished": chosen.status in Training.UNFINISHED})


@require_GET
def training_log(request: HttpRequest, project: str, pk: str) -> HttpResponse | JsonResponse | Download:
    chosen = load(request, Training, pk, project=project)
    grows = chosen.status in Training.UNFINISHED  # before reading: what is written later comes with the next call
    return log_file(request, chosen.log_path, chosen.name, grows=grows)


def training_create(request: HttpRequest, project: str) -> HttpResponse:
    """The form. Its values may come in the query string, so that it works without JavaScript and can be linked to."""
    home = load_project(request, project, "editor")
    if request.method == "POST":
        form = TrainingForm(request.POST, project=home, algorithm=chosen_algorithm(home, request.POST))
        created = form.create(request.user) if form.is_valid() else None
        if created:
            return redirect("training", home.pk, created.pk)
        return _form(request, form)
    return _form(request, _filled_in(home, request.GET.dict()))


def _filled_in(project: Project, values: dict[str, Any]) -> TrainingForm:
    algorithm = chosen_algorithm(project, values)
    return TrainingForm(project=project, algorithm=algorithm, initial=initial(values, algorithm))


def _form(request: HttpRequest, form: TrainingForm) -> HttpResponse:
    template = "trainings/_form.html" if request.htmx else "trainings/form.html"  # type: ignore[attr-defined]
    return render(request, template, {"form": form, "algorithms": algorithms.all_algorithms()})


@require_GET
def training_copy(request: HttpRequest, project: str, pk: str) -> HttpResponse:
    """The form, filled in with what another training was made of."""
    original = load(request, Training, pk, "editor", project)
    return _form(request, _filled_in(original.project, services.training_copy_values(training=original)))


@require_POST
def training_stop(request: HttpRequest, project: str, pk: str) -> HttpResponse:
    chosen = load(request, Training, pk, "editor", project)
    try:
        services.training_stop(training=chosen, user=request.user)
    except ServiceError as error:
        refuse(request, error)
    return redirect("training", project, pk)


@require_POST
def training_priority(request: HttpRequest, project: str, pk: str) -> HttpResponse:
    chosen = load(request, Training, pk, "editor", project)
    known = {str(value): value for value in Priority.values}
    given = request.POST.get("priority", "")
    try:
        services.training_set_priority(training=chosen, user=request.user, priority=known.get(given, given))
    except ValidationError as error:  # no choice of the page
        messages.error(request, " ".join(error.messages))
    except ServiceError as error:
        refuse(request, error)
    return redirect("training", project, pk)


@require_POST
def training_resume(request: HttpRequest, project: str, pk: str) -> HttpResponse:
    chosen = load(request, Training, pk, "editor", project)
    try:
        services.training_resume(training=chosen, user=request.user)
    except ServiceError as error:
        refuse(request, error)
    return redirect("training", project, pk)


@require_POST
def training_delete(request: HttpRequest, project: str, pk: str) -> HttpResponse:
    chosen = load(request, Training, pk, "editor", project)
    try:
        services.training_delete(training=chosen, user=request.user)
    except ServiceError as error:
        refuse(request, error)
        return redirect("training", project, pk)
    messages.success(request, gettext("%(name)s has been deleted.") % {"name": chosen.name})
    return redirect("trainings", project)
