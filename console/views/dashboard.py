"""Where a person lands: the project at a glance, and what to do next."""

from typing import Any

from django.db import models
from django.db.models import Count, Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_GET

from console.access import load_project, person
from console.links import existing
from console.space import disk
from endpoints.models import Endpoint
from models_registry.models import Model
from training.models import Dataset, Event, Membership, Project, Training

TILES: tuple[tuple[str, Any, str, type[models.Model], Any, dict[str, Any]], ...] = (
    ("datasets", _("Datasets"), "images", Dataset, _("%(count)s ready"), {"status": "READY"}),
    ("trainings", _("Trainings"), "cpu", Training, _("%(count)s unfinished"), {"status__in": Training.UNFINISHED}),
    ("models", _("Models"), "box-seam", Model, _("%(count)s active"), {"status": "ACTIVE"}),
    ("endpoints", _("Endpoints"), "broadcast", Endpoint, _("%(count)s active"), {"status": "ACTIVE"}),
)


@require_GET
def home(request: HttpRequest) -> HttpResponse:
    """Go on with the project that was open last, else the newest; somebody without one makes one."""
    memberships = Membership.objects.filter(user=person(request)).order_by("-project__created_at")
    last = memberships.filter(project=request.session.get("project")).first() or memberships.first()
    return redirect("dashboard", last.project_id) if last else redirect("project_create")


@require_GET
def dashboard(request: HttpRequest, project: str) -> HttpResponse:
    owner = load_project(request, project)
    trainings = Training.objects.filter(project=owner)
    events = list(Event.objects.filter(project=owner).select_related("actor")[:8])
    pages = existing(events)
    context = {
        "tiles": tiles(owner),
        "steps": steps(owner),
        "disk": disk(),
        "trainings": trainings[:5],
        "endpoints": Endpoint.objects.filter(project=owner).annotate(stage_count=Count("stages"))[:5],
        "events": [(event, pages.get((event.kind, event.object_id))) for event in events],
        "polls": trainings.filter(status__in=Training.UNFINISHED).exists(),
    }
    template = "console/_dashboard.html" if request.htmx else "console/dashboard.html"  # type: ignore[attr-defined]
    return render(request, template, context)


def tiles(project: Project) -> list[dict[str, Any]]:
    """A number for each kind, with how many of them are in the state that matters."""
    found = []
    for url, label, icon, model, state, matters in TILES:
        rows = model.objects.filter(project=project)  # type: ignore[attr-defined]
        numbers = rows.aggregate(total=Count("pk"), part=Count("pk", filter=Q(**matters)))
        part = str(state) % {"count": numbers["part"]}
        found.append({"url": url, "label": label, "icon": icon, "total": numbers["total"], "part": part})
    return found


def steps(project: Project) -> list[dict[str, Any]]:
    """The way from nothing to an answer; empty once it was gone."""
    done = [
        project.datasets.filter(status="READY").exists(),
        project.trainings.filter(status="COMPLETE").exists(),
        project.endpoints.exists(),
    ]
    if all(done):
        return []
    first = done.index(False)
    return [{"done": it, "current": place == first} for place, it in enumerate(done)]
