"""Stages and their resources. The supervisor brings the engine processes in line with these rows."""

from functools import partial
from typing import Any

from django.db import transaction
from django.db.models import F
from django.utils.translation import gettext as _

from endpoints import kept_images, routes
from endpoints.models import Endpoint, Rollout, Stage, StageResource
from endpoints.services import checks
from endpoints.services.endpoints import endpoint_refresh
from models_registry.models import Model
from training import lifecycle
from training.algorithms.base import Message, gettext_noop
from training.errors import Conflict


@transaction.atomic
def stage_create(
    *,
    endpoint: Endpoint,
    user: Any,
    name: str,
    model: Model,
    description: str = "",
    resource_path: str = "/inference",
) -> Stage:
    """Add a stage with one model. Raises ValidationError with every wrong field, Conflict when being deleted."""
    row = checks.lock(endpoint)
    stage = Stage(endpoint=row, name=name.strip(), description=description.strip())
    errors = checks.field_errors(stage, "description")
    errors["name"] = checks.stage_name(row, stage.name)
    errors["model"] = checks.servable(row.project, model)
    names = {*row.stages.values_list("name", flat=True), *([] if errors["name"] else [stage.name])}
    errors["resource_path"] = checks.resource_path(resource_path, names)
    checks.require(errors)
    stage.save()
    StageResource.objects.create(stage=stage, model=model, path=resource_path)
    lifecycle.record(stage, stage.status, actor=user)
    endpoint_refresh(row)
    transaction.on_commit(routes.publish)
    return stage


@transaction.atomic
def resource_add(*, stage: Stage, user: Any, model: Model, path: str) -> StageResource:
    """Serve a second model on the stage, under a path of its own. The models already there go on answering."""
    endpoint = checks.lock(stage.endpoint)
    row = living(stage)
    errors: checks.Errors = {
        "model": checks.servable(endpoint.project, model),
        "path": checks.resource_path(path, endpoint.stages.values_list("name", flat=True)),
    }
    if row.resources.filter(path=path).exists():
        errors["path"] = [_("The stage has a model under that path already.")]
    if row.resources.filter(model__name=model.name).exists():
        errors["model"] = [_("The stage serves that model already.")]
    checks.require(errors)
    resource = StageResource.objects.create(stage=row, model=model, path=path)
    reason = Message(gettext_noop("%(model)s is added under %(path)s."), {"model": resource.model.name, "path": path})
    deploy(row, user, reason)
    return resource


@transaction.atomic
def stage_redeploy(*, stage: Stage, user: Any) -> None:
    """Deploy the stage anew: after a failure, or when its owner wants to. What answers now does so until then."""
    checks.lock(stage.endpoint)
    row = living(stage)
    if row.status == Stage.Status.CREATE_REQUESTED:
        raise Conflict(Message(gettext_noop("The stage %(stage)s is about to be deployed."), {"stage": row.name}))
    row.resources.update(deployment=F("deployment") + 1)
    deploy(row, user, Message(gettext_noop("The stage is deployed again.")))
    stage.status = row.status


def deploy(row: Stage, user: Any, reason: Message) -> None:
    """Ask the supervisor to make the stage ready again."""
    if lifecycle.allowed(row, Stage.Status.DEPLOY_IN_PROGRESS):
        lifecycle.move(row, Stage.Status.DEPLOY_IN_PROGRESS, reason=reason, actor=user)
    endpoint_refresh(row.endpoint)
    transaction.on_commit(routes.publish)


@transaction.atomic
def stage_delete(*, stage: Stage, user: Any) -> None:
    """Undeploy and delete: the supervisor stops the engines, then the row goes. Not for the default stage."""
    endpoint = checks.lock(stage.endpoint)
    row = living(stage)
    if endpoint.default_stage_id == row.pk:
        text = gettext_noop("%(stage)s is the default stage: make another stage the default first.")
        raise Conflict(Message(text, {"stage": row.name}), [endpoint])
    if row.rollouts.filter(status=Rollout.Status.RUNNING).exists():
        text = gettext_noop("%(stage)s is being tried in a rollout: end that first.")
        raise Conflict(Message(text, {"stage": row.name}), [endpoint])
    lifecycle.move(row, Stage.Status.DELETE_IN_PROGRESS, actor=user)
    stage.status = row.status
    endpoint_refresh(endpoint)
    transaction.on_commit(routes.publish)


def living(stage: Stage) -> Stage:
    row = Stage.objects.select_for_update().filter(pk=stage.pk).first()
    if row is None or row.status == Stage.Status.DELETE_IN_PROGRESS:
        raise Conflict(Message(gettext_noop("The stage %(stage)s is being deleted."), {"stage": stage.name}))
    return row


@transaction.atomic
def stage_remove(*, stage: Stage) -> None:
    """Remove the rows of a stage in deletion, and of its endpoint with it when that is in deletion too.

    Called by the supervisor once no engine of the stage is left.
    """
    endpoint = stage.endpoint
    Stage.objects.select_for_update().filter(pk=stage.pk).first()  # calls that are just being counted come before
    lifecycle.record(stage, "deleted", from_status=stage.status)
    transaction.on_commit(partial(kept_images.clear, stage.pk))
    stage.delete()
    if endpoint.status == Endpoint.Status.DELETE_IN_PROGRESS and not endpoint.stages.exists():
        lifecycle.record(endpoint, "deleted", from_status=endpoint.status)
        endpoint.delete()
    else:
        endpoint_refresh(endpoint)
