"""Projects and their members."""

from django.contrib import messages
from django.contrib.auth import get_user_model
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext
from django.views.decorators.http import require_GET, require_POST

from console.access import load_project
from console.answers import refuse
from console.forms.projects import MemberForm, ProjectForm, RetentionForm
from training import services
from training.errors import Conflict
from training.models import Project, Role


def project_create(request: HttpRequest) -> HttpResponse:
    form = ProjectForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        made = form.call(services.project_create, owner=request.user, **form.cleaned_data)
        if made:
            return redirect("dashboard", made.pk)
    context = {"form": form, "heading": gettext("New project"), "back": reverse("home")}
    return render(request, "console/form.html", context)


@require_GET
def project_settings(request: HttpRequest, project: str) -> HttpResponse:
    return _settings(request, load_project(request, project), MemberForm())


def _settings(
    request: HttpRequest, project: Project, form: MemberForm, retention: RetentionForm | None = None
) -> HttpResponse:
    context = {
        "members": project.memberships.select_related("user").order_by("user__username"),
        "form": form,
        "roles": Role.choices,
        "retention": retention or RetentionForm(initial=project.retention),
    }
    return render(request, "projects/settings.html", context)


@require_POST
def retention_set(request: HttpRequest, project: str) -> HttpResponse:
    """How long ended trainings keep logs, TensorBoard and checkpoints."""
    owner = load_project(request, project, Role.ADMIN)
    form = RetentionForm(request.POST)
    given = {"project": owner, "user": request.user, **form.cleaned_data} if form.is_valid() else None
    if given and form.call(services.project_retention_set, **given):
        messages.success(request, gettext("Saved."))
        return redirect("project_settings", project)
    return _settings(request, owner, MemberForm(), form)


@require_POST
def member_set(request: HttpRequest, project: str) -> HttpResponse:
    """Add a member, or give one another role."""
    owner = load_project(request, project, Role.ADMIN)
    form = MemberForm(request.POST)
    if form.is_valid():
        user, role = form.cleaned_data["username"], form.cleaned_data["role"]
        if form.call(services.member_set, project=owner, user=user, role=role, actor=request.user):
            text = gettext("%(name)s is now %(role)s in this project.")
            messages.success(request, text % {"name": user, "role": Role(role).label})
            return redirect("project_settings", project)
    return _settings(request, owner, form)


@require_POST
def member_remove(request: HttpRequest, project: str, user: int) -> HttpResponse:
    owner = load_project(request, project, Role.ADMIN)
    member = get_object_or_404(get_user_model(), pk=user, memberships__project=owner)
    try:
        services.member_remove(project=owner, user=member, actor=request.user)
    except Conflict as error:
        refuse(request, error)
    else:
        messages.success(request, gettext("%(name)s is no longer a member.") % {"name": member})
    return redirect("project_settings", project) if member != request.user else redirect("home")
