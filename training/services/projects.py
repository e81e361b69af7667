"""Projects and their members."""

from typing import Any

from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from training import retention
from training.algorithms.base import Message, gettext_noop
from training.errors import Conflict
from training.models import Event, Membership, Project, Role
from training.services.naming import name_errors, raise_if, taken

NOW = {  # a text for each role, since the parameters of a stored Message are not translated
    Role.VIEWER: gettext_noop("%(user)s is now a viewer."),
    Role.EDITOR: gettext_noop("%(user)s is now an editor."),
    Role.ADMIN: gettext_noop("%(user)s is now an admin."),
}
KEPT_FOR_EVER = Message(gettext_noop("for ever"))
KEPT = gettext_noop("%(days)s days")


def project_create(*, name: str, owner: Any, description: str = "") -> Project:
    """Make a project with `owner` as its admin. Raises ValidationError."""
    raise_if(name_errors(Project, name, description, project=None))
    try:
        with transaction.atomic():
            project = Project.objects.create(name=name.strip(), description=description.strip())
            Membership.objects.create(project=project, user=owner, role=Role.ADMIN)
            record(project, "created", actor=owner)
    except IntegrityError:  # someone took the name since the look
        raise_if({"name": [taken(name)]})
    return project


def member_set(*, project: Project, user: Any, role: str, actor: Any) -> Membership:
    """Add `user` with this role, or change the role. Raises ValidationError, or Conflict for the last admin."""
    if role not in Role.values:
        raise_if({"role": [_("Choose one of: %(roles)s.") % {"roles": ", ".join(Role.values)}]})
    with transaction.atomic():
        if role != Role.ADMIN:
            _keep_an_admin(project, user)
        member, _created = Membership.objects.update_or_create(project=project, user=user, defaults={"role": role})
        reason = Message(NOW[Role(role)], {"user": user.get_username()})
        record(project, "member_set", actor=actor, reason=reason)
    return member


def member_remove(*, project: Project, user: Any, actor: Any) -> None:
    """Take `user` out of the project. Raises Conflict for the last admin."""
    with transaction.atomic():
        _keep_an_admin(project, user)
        removed, _by_model = Membership.objects.filter(project=project, user=user).delete()
        if removed:
            reason = Message(gettext_noop("%(user)s is no longer a member."), {"user": user.get_username()})
            record(project, "member_removed", actor=actor, reason=reason)


def project_retention_set(*, project: Project, user: Any, **days: int | None) -> Project:
    """How many days `logs`, `tensorboard` and `checkpoints` of ended trainings are kept; None: for ever.

    Raises ValidationError.
    """
    kept = retention.cleaned(days)
    with transaction.atomic():
        Project.objects.filter(pk=project.pk).update(retention=kept)
        project.retention = kept
        values = {name: KEPT_FOR_EVER if kept[name] is None else Message(KEPT, {"days": kept[name]}) for name in kept}
        text = gettext_noop(
            "Kept of ended trainings: logs %(logs)s, TensorBoard %(tensorboard)s, checkpoints %(checkpoints)s."
        )
        record(project, "retention_set", actor=user, reason=Message(text, values))
    return project


def _keep_an_admin(project: Project, user: Any) -> None:
    """Lock the project's admins; raise Conflict when `user` is the only one."""
    admins = Membership.objects.select_for_update().filter(project=project, role=Role.ADMIN)
    if [admin.user_id for admin in admins] == [user.pk]:
        text = gettext_noop("%(user)s is the project's last admin: make someone else an admin first.")
        raise Conflict(Message(text, {"user": user.get_username()}))


def record(project: Project, what: str, *, actor: Any, reason: Message | None = None) -> None:
    """A project's own event: lifecycle.record() is for what a project owns."""
    Event.objects.create(
        project=project,
        kind="project",
        object_id=project.pk,
        object_name=project.name,
        to_status=what,
        reason=reason.as_json() if reason else None,
        actor=actor,
    )
