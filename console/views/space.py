"""What uses the disk, and what can be deleted to make room."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.template.defaultfilters import filesizeformat
from django.urls import reverse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_GET, require_POST

from console import space
from console.access import load, load_project
from console.answers import refuse
from endpoints.services import rotated_logs_delete
from training import services
from training.errors import ServiceError
from training.models import Role, Training

LABELS = {
    "datasets": _("Datasets"),
    "uploads": _("Uploads under way"),
    "checkpoints": _("Checkpoints"),
    "tensorboard": _("TensorBoard"),
    "logs": _("Logs"),
    "models": _("Models"),
    "images": _("Images of requests"),
}


@require_GET
def page(request: HttpRequest, project: str) -> HttpResponse:
    owner = load_project(request, project)
    found, disk = space.measure(owner), space.disk()
    mine = sum(found.kinds.values())
    context = {
        "disk": disk,
        "kinds": [(LABELS[kind], size) for kind, size in found.kinds.items()],
        "mine": mine,
        "others": max(0, disk.used - mine),
        "largest": [(part, LABELS[part.kind], reverse(part.owner, args=[project, part.id])) for part in found.largest],
        "rotated": found.rotated,
    }
    return render(request, "projects/space.html", context)


@require_POST
def checkpoints_delete(request: HttpRequest, project: str, pk: str) -> HttpResponse:
    training = load(request, Training, pk, Role.EDITOR, project)
    try:
        freed = services.training_checkpoints_delete(training=training, user=request.user)
    except ServiceError as error:
        refuse(request, error)
    else:
        space.forget(training.project)
        messages.success(request, gettext("%(size)s are free again.") % {"size": filesizeformat(freed)})
    return redirect("space", project)


@require_POST
def logs_delete(request: HttpRequest, project: str) -> HttpResponse:
    owner = load_project(request, project, Role.EDITOR)
    freed = rotated_logs_delete(project=owner, user=request.user)
    space.forget(owner)
    messages.success(request, gettext("%(size)s are free again.") % {"size": filesizeformat(freed)})
    return redirect("space", project)
