"""What a person does with a training: create, stop, resume, delete. runner.py does the rest."""

import shutil
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from training import lease, lifecycle, queue, tensorboard
from training.algorithms.base import Message, gettext_noop
from training.errors import Conflict
from training.models import Dataset, Experiment, Project, Training
from training.services.naming import raise_if, taken
from training.services.training_fields import clean_training


def training_create(
    *,
    project: Project,
    user: Any,
    name: str,
    dataset: Dataset | None,
    algorithm: str = "",
    hyperparameters: Any = None,
    initial_weights: str = "auto",
    checkpoint: str = "",
    weights_folder: str = "",
    experiment: Experiment | None = None,
    description: str = "",
    device: str = "auto",
    timeout_minutes: int = 1440,
    priority: int = 0,
    early_stopping: int = 0,
) -> Training:
    """Make a training and queue it. Raises ValidationError with the errors of all fields at once.

    `algorithm` may be left out: it is the dataset's. `initial_weights` is "auto", "pretrained", "scratch" or a
    model's id; with an id the caller, who knows models, gives that model's `weights_folder`. `checkpoint` is
    "<training id>/checkpoint-<step>" of the same project and algorithm. `priority` is 1 (high), 0 or -1 (low):
    its place in the queue. `early_stopping`: epochs without a better validation figure after which it ends; 0: never.
    """
    fields, errors = clean_training(
        project=project, name=name, dataset=dataset, algorithm=algorithm, hyperparameters=hyperparameters,
        initial_weights=initial_weights, checkpoint=checkpoint, weights_folder=weights_folder, experiment=experiment,
        description=description, device=device, timeout_minutes=timeout_minutes, priority=priority,
        early_stopping=early_stopping,
    )  # fmt: skip
    raise_if(errors)
    try:
        return _queue(project, user, fields)
    except IntegrityError:  # someone took the name since the look
        raise ValidationError({"name": [taken(name)]}) from None


@transaction.atomic
def _queue(project: Project, user: Any, fields: dict[str, Any]) -> Training:
    """The row, its first event and its task, unless what it needs has been deleted since the look."""
    if not Dataset.objects.select_for_update().filter(pk=fields["dataset"].pk, status="READY").exists():
        raise_if({"dataset": [_("The dataset has just been deleted.")]})
    if fields["checkpoint"] and not _still_there(fields["checkpoint"], fields["weights_folder"]):
        raise_if({"checkpoint": [_("The checkpoint has just been deleted.")]})
    training = Training.objects.create(project=project, created_by=user, **fields)
    lifecycle.record(training, training.status, actor=user)
    queue.enqueue_on_commit(training)
    return training


def _still_there(checkpoint: str, folder: str) -> bool:
    """Whether nobody deleted the checkpoint since the look. Until the transaction ends, nobody can."""
    origin = Training.objects.select_for_update().filter(pk=checkpoint.partition("/")[0])
    return origin.exists() and Path(settings.CONSOLE_HOME, folder).is_dir()


def training_stop(*, training: Training, user: Any) -> None:
    """Ask for a stop. A queued training is STOPPED at once; a running one saves a checkpoint first.

    Raises Conflict when it has already ended. A stop of one that is being stopped changes nothing.
    """
    while training.status != "STOP_IN_PROGRESS":
        if training.status not in Training.STOPPABLE:
            text = gettext_noop("Only an unfinished training can be stopped: this one is %(status)s.")
            raise Conflict(Message(text, {"status": training.status.replace("_", " ")}))
        reason = Message(gettext_noop("Stopped by %(user)s."), {"user": user.get_username()})
        to = "STOPPED" if training.status == "CREATE_REQUESTED" else "STOP_IN_PROGRESS"
        if lifecycle.move(training, to, reason=reason, actor=user):
            return  # otherwise the runner moved it meanwhile: look again


def training_resume(*, training: Training, user: Any) -> None:
    """Queue an ended training again: it goes on from its newest complete checkpoint. Raises Conflict."""
    if training.status not in Training.RESUMABLE:
        text = gettext_noop("Only a stopped or failed training can be resumed: this one is %(status)s.")
        raise Conflict(Message(text, {"status": training.status.replace("_", " ")}))
    if training.dataset is None or training.dataset.status != "READY":
        raise Conflict(Message(gettext_noop("Its dataset has been deleted, so it cannot be resumed.")))
    reason = Message(gettext_noop("Resumed by %(user)s."), {"user": user.get_username()})
    with transaction.atomic():
        fresh = {"attempts": 0, "run_seconds": 0, "finished_at": None, "eta_seconds": None, "phase": ""}
        if not lifecycle.move(training, "CREATE_REQUESTED", reason=reason, actor=user, **fresh):
            raise Conflict(Message(gettext_noop("It has just been resumed by someone else.")))
        queue.enqueue_on_commit(training)


def training_delete(*, training: Training, user: Any) -> None:
    """Delete an ended training, its files and its TensorBoard. Raises Conflict naming what is in the way."""
    with transaction.atomic():
        locked = lifecycle.locked(training)
        if locked.status in Training.UNFINISHED or lease.held(locked):
            raise Conflict(Message(gettext_noop("The training has not ended: stop it first.")))
        _nothing_needs(locked)
        lifecycle.record(locked, "deleted", from_status=locked.status, actor=user)
        locked.delete()
    tensorboard.stop(training.pk)
    shutil.rmtree(training.folder, ignore_errors=True)


def _nothing_needs(training: Training) -> None:
    """Raise Conflict when a model was made of the training, or when another one is yet to start from its weights."""
    models = list(training.models.all())
    if models:
        text = gettext_noop("The training has a model (%(names)s): delete it first.")
        raise Conflict(Message(text, {"names": ", ".join(model.name for model in models)}), models)
    from_it = Training.objects.filter(checkpoint__startswith=f"{training.pk}/", status__in=Training.UNFINISHED)
    if users := list(from_it):
        text = gettext_noop("A training that has not ended starts from its checkpoint: %(names)s.")
        raise Conflict(Message(text, {"names": ", ".join(user.name for user in users)}), users)


def training_copy_values(training: Training) -> dict[str, Any]:
    """What fills the form in when this training is copied: the arguments of training_create()."""
    return {
        "name": _copy_name(training),
        "description": training.description,
        "experiment": training.experiment_id or "",
        "algorithm": training.algorithm,
        "dataset": training.dataset_id or "",
        "hyperparameters": dict(training.hyperparameters),
        "initial_weights": training.initial_weights,
        "checkpoint": training.checkpoint,
        "device": training.device,
        "timeout_minutes": training.timeout_minutes,
        "priority": training.priority,
        "early_stopping": training.early_stopping,
    }


def _copy_name(training: Training) -> str:
    """ "name-2", or the next number that is free; at most 50 characters."""
    names = set(Training.objects.filter(project=training.project_id).values_list("name", flat=True))
    stem, _dash, number = training.name.rpartition("-")
    if not (stem and number.isdecimal()):
        stem = training.name
    tails = (f"-{count}" for count in range(2, len(names) + 3))
    return next(name for tail in tails if (name := stem[: 50 - len(tail)] + tail) not in names)
