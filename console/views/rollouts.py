"""The traffic of an endpoint: trying a stage with its calls, and what comes of it."""

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from console.access import load
from console.answers import refuse
from console.forms.rollouts import RolloutForm
from endpoints import services
from endpoints.models import Endpoint, Rollout
from endpoints.rollout_figures import summary
from training.errors import ServiceError
from training.models import Role

PAST = 20  # rollouts that the page shows


def context(owner: Endpoint, form: RolloutForm | None = None) -> dict[str, Any]:
    """Of the tab: the running rollout, the form that starts one, and those of before."""
    rows = list(owner.rollouts.select_related("stage", "created_by")[: PAST + 1])
    running = next((row for row in rows if row.status == Rollout.Status.RUNNING), None)
    return {
        "rollout": running,
        "sides": sides(running) if running else [],
        "seen": summary(running.figures) if running else {},
        "rollout_form": form or RolloutForm(endpoint=owner),
        "past": [(row, summary(row.figures)) for row in rows if row is not running][:PAST],
    }


def sides(rollout: Rollout) -> list[dict[str, Any]]:
    """Both stages: name, share of the calls that each answers, and figures."""
    seen, canary = summary(rollout.figures), rollout.mode == "canary"
    default = rollout.endpoint.default_stage
    return [
        {"name": default.name if default else "", "share": 100 - rollout.share * canary, **seen["default"]},
        {"name": rollout.stage.name, "share": rollout.share, **seen["candidate"]},
    ]


@require_GET
def rollout(request: HttpRequest, project: str, pk: str, rollout: str) -> HttpResponse:
    """What is running, alone: it asks for itself, and for the whole page once it has ended."""
    owner = load(request, Endpoint, pk, Role.VIEWER, project)
    row = get_object_or_404(owner.rollouts.select_related("stage", "endpoint__default_stage"), pk=rollout)
    shown = {"selected": owner, "project": owner.project, "rollout": row, "sides": sides(row)}
    response = render(request, "endpoints/_rollout.html", shown | {"seen": summary(row.figures)})
    if row.status != Rollout.Status.RUNNING:
        response.headers["HX-Refresh"] = "true"
    return response


@require_POST
def rollout_promote(request: HttpRequest, project: str, pk: str, rollout: str) -> HttpResponse:
    return _change(request, project, pk, rollout, services.rollout_promote)


@require_POST
def rollout_roll_back(request: HttpRequest, project: str, pk: str, rollout: str) -> HttpResponse:
    return _change(request, project, pk, rollout, services.rollout_roll_back)


@require_POST
def rollout_end(request: HttpRequest, project: str, pk: str, rollout: str) -> HttpResponse:
    return _change(request, project, pk, rollout, services.rollout_end)


def _change(request: HttpRequest, project: str, pk: str, rollout: str, service: Callable[..., None]) -> HttpResponse:
    owner = load(request, Endpoint, pk, Role.EDITOR, project)
    try:
        service(rollout=get_object_or_404(owner.rollouts, pk=rollout), user=request.user)
    except ServiceError as error:
        refuse(request, error)
    return back(owner)


def back(owner: Endpoint) -> HttpResponse:
    return redirect(f"{reverse('endpoint', args=[owner.project_id, owner.pk])}?tab=traffic")
