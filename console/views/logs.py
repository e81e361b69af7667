"""Logs: the file of one, and the page of the log of a stage's engines. A training's log is a tab of its own page."""

from pathlib import Path

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, render
from django.utils.translation import gettext
from django.views.decorators.http import require_GET

from console import logs
from console.access import load
from console.downloads import Download
from endpoints.models import Stage, StageResource
from endpoints.services.logs import engine_log


def log_file(request: HttpRequest, path: Path, name: str, *, grows: bool) -> HttpResponse | JsonResponse | Download:
    """With ?offset= what came since, for static/js/log.js; without, the whole log as a file. `grows`: it may go on."""
    offset = request.GET.get("offset", "")
    if not offset.isdecimal() or len(offset) > 18:  # no file is so long
        if not path.is_file():
            return HttpResponse(gettext("Nothing has been written yet."), content_type="text/plain; charset=utf-8")
        return Download(path.open("rb"), as_attachment=True, filename=f"{name}.log")
    part = logs.since(path, int(offset))
    return JsonResponse({"text": part.text, "offset": part.offset, "unfinished": grows})


@require_GET
def resource_log(request: HttpRequest, project: str, endpoint: str, pk: str, resource: str) -> HttpResponse:
    """What the engines of one resource wrote. They share one log; a full one is begun anew."""
    row, word = _resource(request, project, pk, resource), request.GET.get("q", "").strip()
    path = engine_log(row)
    context = {
        "resource": row,
        "stage": row.stage,
        "endpoint": row.stage.endpoint,
        "word": word,
        "part": logs.matching(path, word) if word else logs.tail(path),
    }
    is_search = request.htmx.target == "log"  # type: ignore[attr-defined]
    return render(request, "endpoints/_engine_log.html" if is_search else "endpoints/engine_log.html", context)


@require_GET
def resource_log_file(
    request: HttpRequest, project: str, endpoint: str, pk: str, resource: str
) -> HttpResponse | JsonResponse | Download:
    row = _resource(request, project, pk, resource)
    name = f"{row.stage.endpoint.name}-{row.stage.name}-{row.path.strip('/')}"
    return log_file(request, engine_log(row), name, grows=True)


def _resource(request: HttpRequest, project: str, stage: str, pk: str) -> StageResource:
    chosen = load(request, Stage, stage, project=project)
    return get_object_or_404(chosen.resources.select_related("stage__endpoint"), pk=pk)
