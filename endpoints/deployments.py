"""What the supervisor writes: which engines answer for a resource, and what that makes of its stage.

A resource has at most two deployments at work: the one that it is to have (`deployment`), and the one that still
answers (`serving`) until the first is ready, or for good when that fails.
"""

import logging
import time

from django.conf import settings
from django.db import transaction

from endpoints import processes, routes
from endpoints.models import Stage, StageResource
from endpoints.processes import EngineProcess
from endpoints.services import endpoint_refresh
from models_registry.models import Model
from training import lifecycle
from training.algorithms.base import Message, gettext_noop

log = logging.getLogger(__name__)

TRIAL_SECONDS = 600  # so long after a switch, the deployment before it is what to go back to
DEPLOYED = {Stage.Status.CREATE_REQUESTED, Stage.Status.DEPLOY_IN_PROGRESS, Stage.Status.ACTIVE}


def rows() -> list[StageResource]:
    """Every resource, stage by stage. Those of one stage share its object, so that they see the same status."""
    found = StageResource.objects.select_related("model", "next_model", "stage__endpoint")
    stages: dict[str, Stage] = {}
    resources = list(found.order_by("stage_id", "created_at"))
    for row in resources:
        row.stage = stages.setdefault(row.stage_id, row.stage)
    return resources


def wanted(row: StageResource) -> list[int]:
    """The deployments that should run, the one that answers first. Of a stage that failed, only that one."""
    if row.stage.status not in DEPLOYED | {Stage.Status.DEPLOY_FAILED}:
        return []
    found = [] if row.serving is None else [row.serving]
    if row.stage.status in DEPLOYED and row.deployment not in found:
        found.append(row.deployment)
    return found


def model_of(row: StageResource, deployment: int) -> Model:
    return row.next_model if row.next_model and deployment == row.deployment else row.model


def tuning(row: StageResource, deployment: int) -> tuple[int | None, float | None]:
    """Batch size and window of an engine: as the owner chose; an earlier deployment keeps those that it had."""
    if deployment == row.deployment:
        return row.batch_size, row.batch_window_ms
    return row.settings.get("batch_size"), row.settings.get("batch_window_ms")


def runs_on(row: StageResource, deployment: int) -> tuple[str, str]:
    """(runtime, precision) of an engine: what the deployment that answers has, so that its answers stay the same when
    an engine of it is replaced; of a new deployment what is measured, "" and the precision that the site allows."""
    if deployment == row.serving and "runtime" in row.settings:
        return row.settings["runtime"], row.settings.get("precision", "fp32")
    return "", settings.SERVING_PRECISION


def switch(row: StageResource, engines: list[EngineProcess]) -> None:
    """From now on these engines, which are ready and of the deployment that was waited for, answer all calls."""
    chosen = {**engines[0].info, "deployment": row.deployment}
    if row.settings:
        before = {name: value for name, value in row.settings.items() if name != "previous"}
        chosen["previous"] = {"model": row.model_id, "settings": before, "until": time.time() + TRIAL_SECONDS}
    changes = {
        "settings": chosen,
        "sockets": sorted(engine.socket.name for engine in engines),
        "model": model_of(row, row.deployment),
        "next_model": None,
    }
    if StageResource.objects.filter(pk=row.pk, deployment=row.deployment).update(**changes):
        for name, value in changes.items():
            setattr(row, name, value)
        log.info("Deployment %s of %s answers now", row.deployment, row.pk)
        transaction.on_commit(routes.publish)


def set_sockets(row: StageResource, names: list[str]) -> None:
    if names != row.sockets:
        row.sockets = names
        StageResource.objects.filter(pk=row.pk).update(sockets=names)
        transaction.on_commit(routes.publish)


def forget(row: StageResource) -> None:
    """Nothing answers for this resource, and nothing is left that could."""
    row.settings, row.sockets = {}, []
    StageResource.objects.filter(pk=row.pk).update(settings={}, sockets=[])
    transaction.on_commit(routes.publish)


def fail(row: StageResource, deployment: int, text: str, **params: object) -> None:
    """Give a deployment up. One that answered before goes on; nothing is tried again until somebody asks for it."""
    params = {**params, "model": model_of(row, deployment).name, "log": processes.last_lines(row.pk)}
    with transaction.atomic():
        if not StageResource.objects.select_for_update().filter(pk=row.pk, deployment=row.deployment).exists():
            return  # deployed anew since we looked
        if deployment == row.serving and not _fall_back(row):
            forget(row)
        if deployment == row.deployment and lifecycle.allowed(row.stage, Stage.Status.DEPLOY_FAILED):
            move(row.stage, Stage.Status.DEPLOY_FAILED, Message(text, params))
        else:
            note(row, Message(text, params))


def _fall_back(row: StageResource) -> bool:
    """When a deployment that was ready turns out not to live: go back to the one before, which starts again."""
    previous = row.settings.get("previous")
    if row.serving != row.deployment or not previous or previous["until"] < time.time():
        return False
    model = Model.objects.select_for_update().filter(pk=previous["model"], status=Model.Status.ACTIVE).first()
    if model is None:
        return False
    row.next_model = None if model == row.model else row.model
    row.model, row.settings, row.sockets = model, previous["settings"], []
    row.save(update_fields=["model", "next_model", "settings", "sockets"])
    transaction.on_commit(routes.publish)
    return True


def note(row: StageResource, reason: Message) -> None:
    """In the history of the stage: an engine was replaced, and why."""
    log.warning("%s: %s", row.pk, reason)
    lifecycle.record(row.stage, "engine_replaced", reason=reason)


def settle(stage: Stage, resources: list[StageResource]) -> None:
    """ACTIVE is a stage whose resources all answer, in the deployment that they are to have."""
    waiting = [row for row in resources if not row.sockets or row.serving != row.deployment]
    if not waiting:
        if stage.status == Stage.Status.DEPLOY_IN_PROGRESS:
            move(stage, Stage.Status.ACTIVE)
    elif stage.status == Stage.Status.ACTIVE:
        lost = gettext_noop("The engine of %(model)s ended or stopped answering, and is replaced.")
        unready(stage, Message(lost, {"model": waiting[0].model.name}))
    else:
        begun = gettext_noop("The engine of %(model)s is started.")
        unready(stage, Message(begun, {"model": model_of(waiting[0], waiting[0].deployment).name}))


def unready(stage: Stage, reason: Message) -> None:
    """Not ACTIVE now. A stage that failed stays so: what answers there is an earlier deployment."""
    if stage.status in (Stage.Status.CREATE_REQUESTED, Stage.Status.ACTIVE):
        move(stage, Stage.Status.DEPLOY_IN_PROGRESS, reason)


def move(stage: Stage, to: str, reason: Message | None = None) -> None:
    """Write the stage's status, and the endpoint's that follows from it."""
    with transaction.atomic():
        if lifecycle.allowed(stage, to):
            lifecycle.move(stage, to, reason=reason)
            endpoint_refresh(stage.endpoint)
            transaction.on_commit(routes.publish)
