"""The training's own TensorBoard behind the console's login: each request is passed on to its process."""

import http.client
from urllib.parse import quote

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from console.access import load
from training import pruning, tensorboard
from training.models import Training

TIMEOUT_SECONDS = 60
ASKED = ("Accept", "Accept-Encoding", "Content-Type", "If-None-Match")
ANSWERED = ("Content-Type", "Content-Encoding", "Content-Security-Policy", "Cache-Control", "ETag", "Vary")


# TensorBoard asks for scalars of several tags by POST and knows no CSRF token; it changes nothing by it.
@csrf_exempt
@require_http_methods(["GET", "HEAD", "POST"])
def proxy(request: HttpRequest, project: str, pk: str, path: str = "") -> HttpResponse:
    """Everything below .../tensorboard/. While the process starts: a page that asks again each second."""
    training = load(request, Training, pk, project=project)
    if gone := pruning.removed(training).get("tensorboard"):
        return render(request, "trainings/tensorboard.html", {"training": training, "gone": gone}, status=410)
    server = tensorboard.server(training)
    answer = _forward(request, server, path) if server.port else None
    return answer or _not_yet(request, training, path)


def _not_yet(request: HttpRequest, training: Training, path: str) -> HttpResponse:
    """It starts: for a person a page that asks again, for TensorBoard's own requests an answer that they retry."""
    if path:
        return HttpResponse(status=503, headers={"Retry-After": "1"})
    page = render(request, "trainings/tensorboard.html", {"training": training}, status=202)
    page.headers["Retry-After"] = "1"
    return page


def _forward(request: HttpRequest, server: tensorboard.Server, path: str) -> HttpResponse | None:
    """None when it has just ended by itself, idle: the next request starts it again."""
    query = request.META.get("QUERY_STRING", "")
    target = f"/{server.secret}/{quote(path)}" + (f"?{query}" if query else "")
    headers = {name: request.headers[name] for name in ASKED if name in request.headers}
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=TIMEOUT_SECONDS)
    try:
        connection.request(str(request.method), target, body=request.body or None, headers=headers)
        answer = connection.getresponse()
        response = HttpResponse(answer.read(), status=answer.status)
    except (ConnectionRefusedError, ConnectionResetError):  # RemoteDisconnected is one of the latter
        return None
    finally:
        connection.close()
    for name in ANSWERED:
        if value := answer.headers.get(name):
            response.headers[name] = value
    response.csp_exempt = True  # type: ignore[attr-defined]  # its pages are made for its own policy, not ours
    return response
