"""Where a person lands: the project at a glance, and what to do next in an empty one."""

from django.db.models import Count
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from console.access import load_project
from endpoints.models import Endpoint
from models_registry.models import Model
from training.models import Dataset, Event, Membership, Project, Training


def home(request: HttpRequest) -> HttpResponse:
    """Go on with the project that was open last, else the newest; somebody without one makes one."""
    memberships = Membership.objects.filter(user_id=request.user.pk).order_by("-project__created_at")
    last = memberships.filter(project=request.session.get("project")).first() or memberships.first()
    return redirect("dashboard", last.project_id) if last else redirect("project_create")


def dashboard(request: HttpRequest, project: str) -> HttpResponse:
    owner = load_project(request, project)
    trainings = Training.objects.filter(project=owner)
    context = {
        "counts": counts(owner),
        "trainings": trainings.select_related("dataset")[:5],
        "endpoints": Endpoint.objects.filter(project=owner).annotate(stage_count=Count("stages"))[:5],
        "events": Event.objects.filter(project=owner).select_related("actor")[:8],
        "polls": trainings.filter(status__in=Training.UNFINISHED).exists(),
    }
    template = "console/_dashboard.html" if request.htmx else "console/dashboard.html"  # type: ignore[attr-defined]
    return render(request, template, context)


def counts(project: Project) -> dict[str, int]:
    """How many of each kind, by the URL name of their list."""
    return {
        "datasets": Dataset.objects.filter(project=project).count(),
        "trainings": Training.objects.filter(project=project).count(),
        "models": Model.objects.filter(project=project).count(),
        "endpoints": Endpoint.objects.filter(project=project).count(),
    }
