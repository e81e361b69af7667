"""Experiments: groups of trainings."""

from typing import Any

from django.db import IntegrityError, transaction

from training import lifecycle
from training.algorithms.base import Message, gettext_noop
from training.errors import Conflict
from training.models import Experiment, Project
from training.services.naming import name_errors, raise_if, taken


def experiment_create(*, project: Project, user: Any, name: str, description: str = "") -> Experiment:
    """Make an experiment. Raises ValidationError."""
    raise_if(name_errors(Experiment, name, description, project=project))
    try:
        with transaction.atomic():
            experiment = Experiment.objects.create(
                project=project, name=name.strip(), description=description.strip(), created_by=user
            )
            lifecycle.record(experiment, experiment.status, actor=user)
    except IntegrityError:  # someone took the name since the look
        raise_if({"name": [taken(name)]})
    return experiment


def experiment_delete(*, experiment: Experiment, user: Any) -> None:
    """Delete an experiment without trainings. Raises Conflict naming those in the way."""
    with transaction.atomic():
        lifecycle.locked(experiment)
        trainings = list(experiment.trainings.all())
        if trainings:
            names = ", ".join(training.name for training in trainings[:5])
            text = gettext_noop("The experiment has trainings (%(names)s): delete them first.")
            raise Conflict(Message(text, {"names": names}), trainings)
        lifecycle.record(experiment, "deleted", from_status=experiment.status, actor=user)
        experiment.delete()
