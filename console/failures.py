"""The answer when something failed that nobody foresaw: 507 with the reason when the disk refused, else 500."""

import sys

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template import loader
from django.urls import reverse
from django.utils import translation
from django.utils.translation import gettext as _

from console.api.errors import error_body
from console.templatetags.console import message
from training import disk
from training.algorithms.base import Message

INSUFFICIENT_STORAGE = 507  # RFC 4918: the server cannot store what is needed to complete the request


def server_error(request: HttpRequest) -> HttpResponse:
    """Django calls it, as `handler500`, while the exception is handled. Needs neither database nor session."""
    why = disk.reason(sys.exc_info()[1])
    if why:
        return refused(request, why)
    if request.path.startswith("/api/"):
        return JsonResponse(error_body("error", _("The server failed. Its log says why.")), status=500)
    return HttpResponse(loader.get_template("500.html").render(), status=500)


def refused(request: HttpRequest, why: Message) -> HttpResponse:
    """What the disk said, for a program or a person, with the way to what can be deleted."""
    with translation.override(translation.get_language_from_request(request)):
        text = message(why.as_json())
        if request.path.startswith("/api/") or "text/html" not in request.headers.get("Accept", "text/html"):
            return JsonResponse(error_body("insufficient_storage", text), status=INSUFFICIENT_STORAGE)
        context = {"why": text, "space": _space(request.path)}
        return HttpResponse(loader.get_template("507.html").render(context), status=INSUFFICIENT_STORAGE)


def _space(path: str) -> str:
    """The page of the disk space of the project that `path` is in; "" when it is in none."""
    parts = path.strip("/").split("/")
    within = len(parts) > 1 and parts[0] == "projects" and parts[1] != "new"
    return reverse("space", args=[parts[1]]) if within else ""
