"""What every page needs: the project, the person's role in it, the projects to switch to, the menu."""

from typing import Any

from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from training.models import Membership, Role

MENU = (  # URL name of the page, which is also the part of its path after the project; label; icon
    ("dashboard", _("Dashboard"), "speedometer2"),
    ("datasets", _("Datasets"), "images"),
    ("experiments", _("Experiments"), "folder2"),
    ("trainings", _("Training"), "cpu"),
    ("models", _("Models"), "box-seam"),
    ("endpoints", _("Endpoints"), "broadcast"),
)


def shell(request: HttpRequest) -> dict[str, Any]:
    user = getattr(request, "user", None)
    if user is None or not user.is_authenticated:
        return {}
    memberships = list(Membership.objects.filter(user=user).select_related("project").order_by("project__name"))
    current = getattr(request, "membership", None) or _last(memberships, request.session.get("project"))
    role = Role(current.role) if current else None
    return {
        "memberships": memberships,
        "project": current.project if current else None,
        "role": role,
        "can_edit": bool(role and role.includes(Role.EDITOR)),
        "can_admin": bool(role and role.includes(Role.ADMIN)),
        "menu": MENU,
        "menu_current": _area(request.path),
    }


def _area(path: str) -> str:
    """The menu entry of a page: that of /projects/<id>/<area>/..., the dashboard for /projects/<id>/ itself."""
    parts = path.strip("/").split("/")
    if parts[0] != "projects" or len(parts) < 2:
        return ""
    return parts[2] if len(parts) > 2 else "dashboard"


def _last(memberships: list[Membership], project: str | None) -> Membership | None:
    """The membership of the project that was open last, else of any: pages such as the tokens have none."""
    return next((m for m in memberships if m.project_id == project), memberships[0] if memberships else None)
