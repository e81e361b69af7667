"""Endpoints: create, delete, choose the default stage, derive the status."""

from typing import Any

from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from endpoints import routes
from endpoints.models import Access, Endpoint, EndpointKey, Rollout, Stage, StageResource
from endpoints.services import checks
from models_registry.models import Model
from training import lifecycle
from training.algorithms.base import Message, gettext_noop
from training.errors import Conflict
from training.models import Project

DEPLOYING = {Stage.Status.CREATE_REQUESTED, Stage.Status.DEPLOY_IN_PROGRESS}


def endpoint_create(
    *,
    project: Project,
    user: Any,
    name: str,
    model: Model,
    access: str = "key",
    description: str = "",
    resource_path: str = "/inference",
) -> tuple[Endpoint, str]:
    """Make an endpoint with its default stage, which the supervisor then deploys.

    -> (the endpoint, its first key in plain text; "" when access is open). The key is not stored:
    it cannot be had again. Raises ValidationError with every wrong field.
    """
    endpoint = Endpoint(
        project=project, name=name.strip(), description=description.strip(), access=access, created_by=user
    )
    taken = {"name": [_("An endpoint of that name exists in this project already.")]}
    try:
        with transaction.atomic():
            _check_new(endpoint, model, resource_path, taken)
            key = _write_new(endpoint, user, model, resource_path)
    except IntegrityError:
        checks.require(taken if Endpoint.objects.filter(project=project, name=endpoint.name).exists() else {})
        raise
    return endpoint, key


def _check_new(endpoint: Endpoint, model: Model, resource_path: str, taken: checks.Errors) -> None:
    errors = checks.field_errors(endpoint, "name", "description", "access")
    if Endpoint.objects.filter(project=endpoint.project, name=endpoint.name).exists():
        errors |= taken
    errors["model"] = checks.servable(endpoint.project, model)
    errors["resource_path"] = checks.resource_path(resource_path, stage_names=["default"])
    checks.require(errors)


def _write_new(endpoint: Endpoint, user: Any, model: Model, resource_path: str) -> str:
    endpoint.save()
    stage = Stage.objects.create(endpoint=endpoint, name="default")
    StageResource.objects.create(stage=stage, model=model, path=resource_path)
    endpoint.default_stage = stage
    endpoint.save(update_fields=["default_stage"])
    lifecycle.record(endpoint, endpoint.status, actor=user)
    lifecycle.record(stage, stage.status, actor=user)
    transaction.on_commit(routes.publish)
    if endpoint.access == Access.OPEN:
        return ""
    return EndpointKey.objects.create_key(endpoint=endpoint, name="default")[1]


@transaction.atomic
def endpoint_delete(*, endpoint: Endpoint, user: Any) -> None:
    """Undeploy the default stage; the supervisor removes the rows once its engines are gone.

    Raises Conflict, naming the other stages, while there are any.
    """
    row = checks.lock(endpoint)
    others = list(row.stages.exclude(pk=row.default_stage_id))
    if others:
        text = gettext_noop("The endpoint has more than its default stage: delete %(stages)s first.")
        raise Conflict(Message(text, {"stages": ", ".join(stage.name for stage in others)}), others)
    for stage in row.stages.all():
        lifecycle.move(stage, Stage.Status.DELETE_IN_PROGRESS, actor=user)
    lifecycle.move(row, Endpoint.Status.DELETE_IN_PROGRESS, actor=user)
    endpoint.status = row.status
    transaction.on_commit(routes.publish)


@transaction.atomic
def endpoint_set_default(*, endpoint: Endpoint, stage: Stage, user: Any, why: Message | None = None) -> None:
    """Point the endpoint's own URL at another stage, which must be ACTIVE: no request fails meanwhile.

    A running rollout ends with it: promoted if the stage is its candidate. `why` is what the rollout says of that.
    """
    row = checks.lock(endpoint)
    target = row.stages.filter(pk=stage.pk).first()
    if target is None or target.status != Stage.Status.ACTIVE:
        text = gettext_noop("The stage %(stage)s is not ACTIVE, so it cannot become the default.")
        raise Conflict(Message(text, {"stage": stage.name}), [stage])
    reason = Message(gettext_noop("The default stage is now %(stage)s."), {"stage": target.name})
    rollout = row.rollouts.filter(status=Rollout.Status.RUNNING).first()
    if rollout and target.pk != row.default_stage_id:
        promoted = rollout.stage_id == target.pk
        lifecycle.move(rollout, "PROMOTED" if promoted else "ENDED", reason=why or reason, actor=user)
    row.default_stage = endpoint.default_stage = target
    row.save(update_fields=["default_stage", "updated_at"])
    lifecycle.record(row, "default_stage", reason=reason, actor=user)
    transaction.on_commit(routes.publish)


@transaction.atomic
def endpoint_refresh(endpoint: Endpoint) -> None:
    """Derive the endpoint's status from its stages: CREATE_* until one was ACTIVE, then UPDATE_* or ACTIVE."""
    row = Endpoint.objects.select_for_update().filter(pk=endpoint.pk).first()
    if row is None:
        return
    stages = list(row.stages.exclude(status=Stage.Status.DELETE_IN_PROGRESS))
    # Two steps at most: the first ACTIVE stage takes the endpoint out of CREATE_*, then the others count.
    for step in (_after_creation, _derived):
        wanted = step(row, stages)
        if wanted != row.status and lifecycle.allowed(row, wanted):
            lifecycle.move(row, wanted, reason=_failure(wanted, stages))
    endpoint.status, endpoint.status_reason = row.status, row.status_reason


def _after_creation(row: Endpoint, stages: list[Stage]) -> str:
    first_active = row.status.startswith("CREATE_") and any(s.status == Stage.Status.ACTIVE for s in stages)
    return Endpoint.Status.ACTIVE if first_active else row.status


def _derived(row: Endpoint, stages: list[Stage]) -> str:
    statuses = {stage.status for stage in stages}
    created = not row.status.startswith("CREATE_")
    if row.status == Endpoint.Status.DELETE_IN_PROGRESS or not statuses:
        return row.status
    if statuses == {Stage.Status.CREATE_REQUESTED} and row.status == Endpoint.Status.CREATE_REQUESTED:
        return row.status
    if statuses & DEPLOYING:
        return Endpoint.Status.UPDATE_IN_PROGRESS if created else Endpoint.Status.CREATE_IN_PROGRESS
    if Stage.Status.DEPLOY_FAILED in statuses:
        return Endpoint.Status.UPDATE_FAILED if created else Endpoint.Status.CREATE_FAILED
    return Endpoint.Status.ACTIVE


def _failure(wanted: str, stages: list[Stage]) -> Message | None:
    failed = ", ".join(stage.name for stage in stages if stage.status == Stage.Status.DEPLOY_FAILED)
    if not failed or wanted not in {Endpoint.Status.CREATE_FAILED, Endpoint.Status.UPDATE_FAILED}:
        return None
    return Message(gettext_noop("Could not be deployed: stage %(stages)s. Its page says why."), {"stages": failed})
