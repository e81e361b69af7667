"""Trying a stage with an image, from its page."""

import base64
import json
import math
import mimetypes
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.core.files.uploadedfile import UploadedFile
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_GET, require_POST

from console import samples
from console.access import load
from console.downloads import Download
from endpoints.models import Stage, StageResource
from endpoints.trial import resource_try
from training import previews

LARGEST_IMAGE = settings.STAGE_MAX_BODY * 3 // 4 - 1024  # bytes: base64 makes 4 of 3, and there is JSON around them
THUMBNAIL = 160  # pixels of the longer side, for the buttons on the page
TOO_LARGE = _("The image is too large: a request may have at most 10 MB.")
BUSY = _("Too many requests are waiting for this model. Try again in a moment.")
LATE = _("The model did not answer in time. Try again, or use a smaller image.")
STARTING = _("The model is not ready to answer yet. Try again in a moment.")
BROKEN = _("The model failed on this image. The log of its engine says why.")
# What an image can be refused for, by the codes of endpoints/engine/errors.py and endpoints/invoke.py. The other codes
# are of requests that this page does not make.
SENTENCES = {
    "not_an_image": _("This file is not an image that the model can read. Choose a PNG or JPEG file, for example."),
    "image_too_large": _("The image has more pixels than a request may have. Make it smaller first."),
    "too_many_instances": _("The image has more pixels than a request may have. Make it smaller first."),
    "body_too_large": TOO_LARGE,
    "too_large": TOO_LARGE,
    "too_busy": BUSY,
    "deadline_passed": LATE,
    "timeout": LATE,
    "not_ready": STARTING,
    "unavailable": STARTING,
    "inference_failed": BROKEN,
}


@require_POST
def stage_try(request: HttpRequest, project: str, endpoint: str, pk: str) -> HttpResponse:
    """What the stage URL answers for the posted image. No key: a member of the project may try it, a viewer too."""
    resource = _resource(request, load(request, Stage, pk, project=project))
    image = request.FILES.get("image")
    problem = _problem(image)
    if problem or image is None:
        return JsonResponse({"error": {"code": "invalid", "message": problem, "fields": {}}}, status=400)
    body = json.dumps(_input(image) | _parameters(request, resource)).encode()
    status, answer = resource_try(resource=resource, body=body)
    return HttpResponse(answer, status=status, content_type="application/json")


@require_POST
def stage_input(request: HttpRequest, project: str, endpoint: str, pk: str) -> HttpResponse:
    """The guide's input.json for the posted image."""
    chosen = load(request, Stage, pk, project=project)
    image = request.FILES.get("image")
    problem = _problem(image)
    if problem or image is None:
        messages.error(request, problem)
        return redirect("stage", project, endpoint, chosen.pk)
    body = json.dumps(_input(image), indent=4, sort_keys=True)
    headers = {"Content-Disposition": 'attachment; filename="input.json"'}
    return HttpResponse(body, content_type="application/json", headers=headers)


def _problem(image: UploadedFile | None) -> str:
    if image is None:
        return gettext("Choose an image.")
    return str(TOO_LARGE) if (image.size or 0) > LARGEST_IMAGE else ""


def _input(image: UploadedFile) -> dict[str, Any]:
    return {"instances": [{"data": base64.b64encode(image.read()).decode()}]}


def _parameters(request: HttpRequest, resource: StageResource) -> dict[str, Any]:
    """For a detection: the threshold that was set on the page, and scores to write beside the boxes."""
    if resource.model.algorithm != "object_detection":
        return {}
    try:
        threshold = float(request.POST.get("threshold", ""))
    except ValueError:
        threshold = math.nan
    given = {"threshold": threshold} if math.isfinite(threshold) else {}  # JSON has no words for the others
    return {"parameters": {**given, "scores": True}}


def _resource(request: HttpRequest, chosen: Stage) -> StageResource:
    wanted = request.POST.get("resource") or request.GET.get("resource")
    resources = chosen.resources.select_related("model__training__dataset")
    found = resources.filter(pk=wanted).first() if wanted else resources.first()
    if found is None:
        raise Http404
    return found


@require_GET
def stage_sample(request: HttpRequest, project: str, endpoint: str, pk: str) -> HttpResponse | Download:
    """One of the images on the page: as it was uploaded, or a small JPEG of it (?small=1) for its button."""
    dataset = _resource(request, load(request, Stage, pk, project=project)).model.training.dataset
    name = request.GET.get("path", "")
    path = samples.file(dataset, name)
    if path is None or dataset is None:
        raise Http404
    if request.GET.get("small") == "1":
        content, kind = previews.image(dataset, name, side=THUMBNAIL)
        return HttpResponse(content, content_type=kind, headers={"Cache-Control": "private, max-age=86400"})
    return Download(path.open("rb"), content_type=_kind(path.name))


def _kind(name: str) -> str:
    """The type of an image by its name, which a stranger chose: never one that a browser would run as ours."""
    kind = mimetypes.guess_type(name)[0] or ""
    return kind if kind.startswith("image/") and kind != "image/svg+xml" else "application/octet-stream"
