"""Changing what a stage serves while it goes on answering: another model, more engines, another batch size."""

from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from endpoints.models import StageResource
from endpoints.services import checks
from endpoints.services.stages import deploy, living
from models_registry.models import Model
from training import lifecycle
from training.algorithms.base import Message, gettext_noop
from training.errors import Conflict

MOST_REPLICAS = 32
LARGEST_BATCH = 256
LONGEST_WINDOW_MS = 1000.0


@transaction.atomic
def resource_replace(*, resource: StageResource, user: Any, model: Model) -> StageResource:
    """Serve another model of the same algorithm under the same path. The present one answers until the other does.

    Naming the present model while another one is on its way, or has failed, takes that back.
    """
    endpoint = checks.lock(resource.stage.endpoint)
    stage = living(resource.stage)
    row = _locked(resource)
    checks.require({"model": checks.servable(endpoint.project, model) or _replacing(row, model)})
    row.next_model = None if model.pk == row.model_id else model
    row.deployment += 1
    row.save(update_fields=["next_model", "deployment"])
    text = gettext_noop("%(model)s is to answer under %(path)s.")
    deploy(stage, user, Message(text, {"model": model.name, "path": row.path}))
    return row


def _replacing(row: StageResource, model: Model) -> list[str]:
    if model.algorithm != row.model.algorithm:
        return [_("Callers expect the answers of the present model: choose one of the same algorithm.")]
    others = row.stage.resources.exclude(pk=row.pk)
    if others.filter(model__name=model.name).exists() or others.filter(next_model__name=model.name).exists():
        return [_("The stage serves that model already.")]
    if model.pk == row.model_id and row.next_model_id is None:
        return [_("That is the present model. To start its engines anew, deploy the stage again.")]
    return []


@transaction.atomic
def resource_configure(
    *,
    resource: StageResource,
    user: Any,
    replicas: int = 0,
    batch_size: int | None = None,
    batch_window_ms: float | None = None,
) -> StageResource:
    """How many engines serve it (0: as many as pay here), and how they batch (None: as they measure).

    Engines are added or ended at once; another batch size or window is a new deployment.
    """
    checks.lock(resource.stage.endpoint)
    stage = living(resource.stage)
    row = _locked(resource)
    checks.require(
        {
            "replicas": checks.between(replicas, 0, MOST_REPLICAS),
            "batch_size": [] if batch_size is None else checks.between(batch_size, 1, LARGEST_BATCH),
            "batch_window_ms": [] if batch_window_ms is None else checks.between(batch_window_ms, 0, LONGEST_WINDOW_MS),
        }
    )
    anew = (row.batch_size, row.batch_window_ms) != (batch_size, batch_window_ms)
    row.replicas, row.batch_size, row.batch_window_ms = replicas, batch_size, batch_window_ms
    row.deployment += anew
    row.save(update_fields=["replicas", "batch_size", "batch_window_ms", "deployment"])
    reason = Message(gettext_noop("The engines of %(path)s are set up differently."), {"path": row.path})
    if anew:
        deploy(stage, user, reason)
    else:
        lifecycle.record(stage, "configured", reason=reason, actor=user)
    return row


def _locked(resource: StageResource) -> StageResource:
    rows = StageResource.objects.select_for_update(of=("self",)).select_related("model", "stage")
    row = rows.filter(pk=resource.pk).first()
    if row is None:
        raise Conflict(Message(gettext_noop("The resource %(path)s has just been deleted."), {"path": resource.path}))
    return row
