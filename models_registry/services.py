"""Everything that changes a model: see docs/contracts.md."""

from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _
from django_q.tasks import async_task

from models_registry import artifacts
from models_registry.models import Model
from training import lifecycle
from training.algorithms.base import Message, gettext_noop
from training.errors import Conflict
from training.models import Project, Training
from training.services.naming import name_errors, raise_if, taken


def model_create(*, project: Project, user: Any, name: str, training: Training, description: str = "") -> Model:
    """Order a model of a COMPLETE training; a worker builds it. Raises ValidationError, Conflict."""
    errors = name_errors(Model, name, description, project=project)
    if not isinstance(training, Training) or training.project_id != project.pk:
        errors["training"] = [_("There is no such training in this project.")]
    raise_if(errors)
    try:
        with transaction.atomic():
            row = lifecycle.locked(training)
            if row.status != Training.Status.COMPLETE:
                text = gettext_noop("Only a COMPLETE training makes a model. %(name)s is %(status)s.")
                raise Conflict(Message(text, {"name": row.name, "status": row.status.replace("_", " ")}), [row])
            model = Model.objects.create(
                project=project,
                name=name.strip(),
                description=description.strip(),
                training=row,
                algorithm=row.algorithm,
                created_by=user,
            )
            lifecycle.record(model, model.status, actor=user)
            enqueue_on_commit(model)
    except IntegrityError:  # someone took the name since the look
        raise_if({"name": [taken(name)]})
    return model


def enqueue_on_commit(model: Model) -> None:
    model_id = model.pk
    transaction.on_commit(lambda: async_task("models_registry.tasks.model_build", model_id))


def model_delete(*, model: Model, user: Any) -> None:
    """Delete a model and its files. Raises Conflict naming the stages and trainings that need it."""
    with transaction.atomic():
        row = lifecycle.locked(model)
        _refuse_while_used(row)
        if not lifecycle.allowed(row, Model.Status.DELETE_IN_PROGRESS):
            text = gettext_noop("%(name)s is %(status)s and cannot be deleted now.")
            raise Conflict(Message(text, {"name": row.name, "status": row.status.replace("_", " ")}), [row])
        lifecycle.move(row, Model.Status.DELETE_IN_PROGRESS, actor=user)
    delete_finish(row, user)


def delete_finish(model: Model, user: Any = None) -> None:
    """Remove what a model in DELETE_IN_PROGRESS has left: its files, then its row."""
    artifacts.remove(model.folder)
    model.folder.with_suffix(".lock").unlink(missing_ok=True)  # a killed build's
    with transaction.atomic():
        lifecycle.record(model, "deleted", from_status=model.status, actor=user)
        model.delete()


def _refuse_while_used(model: Model) -> None:
    serving = (model.resources, model.coming_resources)
    stages = [resource.stage for rows in serving for resource in rows.select_related("stage__endpoint")]
    if stages:
        names = ", ".join(f"{stage.endpoint.name} / {stage.name}" for stage in stages[:5])
        text = gettext_noop("The model is served by these stages (endpoint / stage): %(names)s. Delete them first.")
        raise Conflict(Message(text, {"names": names}), stages)
    trainings = list(Training.objects.filter(initial_weights=model.pk, status__in=Training.UNFINISHED))
    if trainings:
        names = ", ".join(training.name for training in trainings[:5])
        text = gettext_noop("Trainings that start from this model are not finished: %(names)s.")
        raise Conflict(Message(text, {"names": names}), trainings)


def model_archive(model: Model) -> Iterator[bytes]:
    """All files of an ACTIVE model as the pieces of one zip, for a streaming response. Raises Conflict."""
    if model.status != Model.Status.ACTIVE:
        text = gettext_noop("%(name)s is %(status)s: it has no files yet.")
        raise Conflict(Message(text, {"name": model.name, "status": model.status.replace("_", " ")}), [model])
    return artifacts.archive(model.folder, model.pk)


def model_weights_folder(model: Model) -> str:
    """The model's Hugging Face folder, relative to CONSOLE_HOME: what a training takes as `weights_folder`."""
    return str(model.folder.relative_to(settings.CONSOLE_HOME))
