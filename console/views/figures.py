"""What a stage did: the sums of a period, its charts, the recent requests and, where it keeps them, their images."""

from collections.abc import Iterable
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_GET, require_POST

from console.access import load
from console.answers import refuse
from console.request_images import image_of
from endpoints import records, services
from endpoints.figures import PERIODS, stage_figures
from endpoints.models import Stage
from training.errors import ServiceError
from training.models import Role

NAMES = {"hour": _("1 hour"), "day": _("24 hours"), "week": _("7 days"), "quarter": _("90 days")}
STEPS = {
    "hour": _("Requests a minute"),
    "day": _("Requests in 15 minutes"),
    "week": _("Requests an hour"),
    "quarter": _("Requests a day"),
}
CLASSES = {"": _("All"), "2xx": _("Success"), "4xx": _("Request errors"), "5xx": _("Server errors")}
KINDS = (
    ("server_errors", _("server error"), "bad"),
    ("client_errors", _("request error"), "warning"),
    ("succeeded", _("success"), "good"),
)
TIMES = (("p50", "p50", ""), ("p95", "p95", ""), ("p99", "p99", ""))
BYTES = (("bytes_in", _("received"), ""), ("bytes_out", _("answered"), ""))
UNITS = (("GB", 2**30), ("MB", 2**20), ("KB", 2**10), ("B", 1))  # as filesizeformat, beside them


def context(request: HttpRequest, stage: Stage) -> dict[str, Any]:
    """For endpoints/_figures.html and endpoints/_recent.html."""
    period, status_class = _chosen(request, "range", PERIODS, "hour"), _chosen(request, "status", CLASSES, "")
    return {
        "stage": stage,
        "figures": stage_figures(stage, period=period),
        "period": period,
        "periods": NAMES,
        "requests": records.recent(stage, status_class)[: records.RECENT],
        "status_class": status_class,
        "recent_open": "status" in request.GET,
        "status_classes": CLASSES,
    }


def _chosen(request: HttpRequest, name: str, known: Iterable[str], default: str) -> str:
    asked = request.GET.get(name, default)
    return asked if asked in known else default


@require_GET
def stage_statistics(request: HttpRequest, project: str, endpoint: str, pk: str) -> JsonResponse:
    """Requests, times, bytes and batches over time, as static/js/charts.js wants them. Only the last hour moves on."""
    period = _chosen(request, "range", PERIODS, "hour")
    figures = stage_figures(load(request, Stage, pk, project=project), period=period)
    since, until, step = figures["since"], figures["until"], figures["step_seconds"]
    # Times are those of the site, as everywhere on the page: a day begins at its midnight, wherever the reader is.
    span = {"from": int(since.timestamp()), "to": int(until.timestamp()), "step": step, "zone": settings.TIME_ZONE}
    charts = _charts(figures["minutes"], str(STEPS[period])) if figures["calls"] else []
    return JsonResponse({"x": "time", **span, "unfinished": period == "hour", "charts": charts})


def _charts(rows: list[dict[str, Any]], requests: str) -> list[dict[str, Any]]:
    unit, size = _data_unit(rows)
    charts: list[dict[str, Any]] = [
        {"title": requests, "stacked": True, "series": _series(rows, KINDS)},
        {"title": gettext("Time to answer, in ms"), "series": _series(rows, TIMES)},
        {"title": gettext("Data, in %(unit)s") % {"unit": unit}, "series": _series(rows, BYTES, size)},
    ]
    known = [row for row in rows if row["batch_size"] is not None]
    if known:
        batches = (("batch_size", _("mean batch size"), ""),)
        charts.append({"title": gettext("Images computed together"), "series": _series(known, batches)})
    return charts


def _data_unit(rows: list[dict[str, Any]]) -> tuple[str, int]:
    """The unit in which the smaller of both series can be read, if the larger one then has at most six digits."""
    small, large = sorted(max(row[name] for row in rows) for name, _label, _tone in BYTES)
    fitting = [pair for pair in UNITS if large / pair[1] < 1e6] or [UNITS[0]]
    return next((pair for pair in fitting if (small or large) >= pair[1]), fitting[-1])


def _series(rows: list[dict[str, Any]], names: Iterable[tuple[str, Any, str]], unit: int = 1) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "label": str(label),
            "tone": tone,
            "points": [[int(row["minute"].timestamp()), _in(unit, row[name])] for row in rows],
        }
        for name, label, tone in names
    ]


def _in(unit: int, value: float) -> float:
    """In so many digits as say something: 1234.5, 49.7, 8.1, 0.00019."""
    if unit == 1:
        return value
    value /= unit
    return round(value, 1) if value >= 10 else float(f"{value:.2g}")


@require_POST
def stage_keep_images(request: HttpRequest, project: str, endpoint: str, pk: str) -> HttpResponse:
    """Switch the keeping of images on (keep=1) or off."""
    chosen = load(request, Stage, pk, Role.EDITOR, project)
    try:
        services.stage_keep_images(stage=chosen, user=request.user, keep=request.POST.get("keep") == "1")
    except ServiceError as error:
        refuse(request, error)
    return redirect(f"{reverse('stage', args=[project, endpoint, pk])}?status=all#recent-requests")


@require_GET
def stage_request_image(request: HttpRequest, project: str, endpoint: str, pk: str, record: int) -> HttpResponse:
    """The kept image of a recent request, for members only."""
    chosen = load(request, Stage, pk, project=project)
    return image_of(chosen, record)
