"""Experiments: groups of trainings."""

from django.contrib import messages
from django.db.models import Count
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_GET, require_POST

from console.access import load, load_project
from console.answers import refuse
from console.forms.experiments import ExperimentForm
from console.views.lists import Column, List, Tab, show
from training import services
from training.errors import Conflict
from training.models import Experiment, Role

EXPERIMENTS = List(
    name="experiments",
    item="experiment",
    title=_("Experiments"),
    create="experiment_create",
    create_label=_("Create experiment"),
    columns=(
        Column(_("Name"), "name"),
        Column(_("Status"), "status", wide=True),
        Column(_("Trainings"), "training_count"),
        Column(_("Created"), "created_at", wide=True),
    ),
    row="experiments/_row.html",
    empty="experiments/_empty.html",
    detail="experiments/_detail.html",
    filters=(),
)
TABS = (
    Tab("trainings", _("Trainings"), "experiments/_trainings.html"),
    Tab("history", _("History"), "console/_events.html"),
)


@require_GET
def experiments(request: HttpRequest, project: str, selected: Experiment | None = None) -> HttpResponse:
    owner = load_project(request, project)
    rows = Experiment.objects.filter(project=owner).annotate(training_count=Count("trainings"))
    context = {"trainings": selected.trainings.all(), "events": selected.events()} if selected else {}
    return show(request, EXPERIMENTS, rows, selected, TABS, **context)


@require_GET
def experiment(request: HttpRequest, project: str, pk: str) -> HttpResponse:
    return experiments(request, project, load(request, Experiment, pk, project=project))


def experiment_create(request: HttpRequest, project: str) -> HttpResponse:
    owner = load_project(request, project, Role.EDITOR)
    form = ExperimentForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        made = form.call(services.experiment_create, project=owner, user=request.user, **form.cleaned_data)
        if made:
            return redirect("experiment", project, made.pk)
    context = {"form": form, "heading": EXPERIMENTS.create_label, "back": reverse("experiments", args=[project])}
    return render(request, "console/form.html", context)


@require_POST
def experiment_delete(request: HttpRequest, project: str, pk: str) -> HttpResponse:
    doomed = load(request, Experiment, pk, Role.EDITOR, project)
    try:
        services.experiment_delete(experiment=doomed, user=request.user)
    except Conflict as error:
        refuse(request, error)
        return redirect("experiment", project, pk)
    messages.success(request, gettext("%(name)s has been deleted.") % {"name": doomed.name})
    return redirect("experiments", project)
