"""The fields of a new training, checked: the form, the REST API and the SDK API all come through here."""

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from training import algorithms
from training.models import Dataset, Experiment, Priority, Project, Training
from training.services.naming import Errors, name_errors

WEIGHTS = ("auto", "pretrained", "scratch")
DEVICES = ("auto", "cpu", "cuda")
LONGEST_PATIENCE = 1000  # epochs
LARGEST_NUMBER = 10**9  # of a hyperparameter without an end to its range: PyTorch cannot count much further


def clean_training(*, project: Project, name: str, description: str, **given: Any) -> tuple[dict[str, Any], Errors]:
    """-> (the row's fields, errors by field). The fields are complete only when there is no error."""
    errors = name_errors(Training, name, description, project=project)
    dataset = given["dataset"]
    algorithm = _algorithm(project, dataset, given["algorithm"], errors)
    hyperparameters = _hyperparameters(algorithm, given["hyperparameters"], errors)
    _experiment(project, given["experiment"], errors)
    if given["device"] not in DEVICES:
        errors["device"] = [_("Choose one of: %(choices)s.") % {"choices": ", ".join(DEVICES)}]
    _timeout(given["timeout_minutes"], errors)
    errors |= priority_errors(given["priority"])
    _early_stopping(given["early_stopping"], errors)
    folder = _weights(project, algorithm, given, errors)
    if errors:
        return {}, errors
    fields = {
        "name": name.strip(),
        "description": description.strip(),
        "dataset": dataset,
        "dataset_name": dataset.name,
        "algorithm": algorithm,
        "hyperparameters": hyperparameters,
        "weights_folder": folder,
    }
    same = ("experiment", "initial_weights", "checkpoint", "device", "timeout_minutes", "priority", "early_stopping")
    return {**fields, **{key: given[key] for key in same}}, {}


def _algorithm(project: Project, dataset: Dataset | None, key: str, errors: Errors) -> str:
    """The algorithm: the one that was given, else the dataset's. "" when there is none to check against."""
    if key and key not in algorithms.PACKAGES:
        errors["algorithm"] = [_("Choose one of: %(choices)s.") % {"choices": ", ".join(algorithms.PACKAGES)}]
        return ""
    if dataset is None or dataset.project_id != project.pk:
        errors["dataset"] = [_("Choose one of the project's datasets.")]
        return key
    if dataset.status != "READY":
        status = dataset.status.replace("_", " ")
        errors["dataset"] = [_("The dataset is %(status)s: only a READY one can be trained on.") % {"status": status}]
    elif key and dataset.algorithm != key:
        names = {"dataset": algorithms.get(dataset.algorithm).name, "algorithm": algorithms.get(key).name}
        errors["dataset"] = [_("The dataset is for %(dataset)s, not for %(algorithm)s.") % names]
    return key or dataset.algorithm


def _hyperparameters(algorithm: str, values: Any, errors: Errors) -> dict[str, int | float]:
    if not algorithm:
        return {}
    cleaned, wrong = algorithms.get(algorithm).clean(values)
    for name, message in wrong.items():
        field = name if name == "hyperparameters" else f"hyperparameters.{name}"
        errors[field] = [ValidationError(_(message.text), params=dict(message.params))]
    for name, value in cleaned.items():
        if value > LARGEST_NUMBER:
            text = _("%(name)s is %(value)s. Choose a smaller number, %(most)s at most.")
            shown = {"name": name, "value": f"{value:g}", "most": LARGEST_NUMBER}
            errors[f"hyperparameters.{name}"] = [text % shown]
    return cleaned


def _experiment(project: Project, experiment: Experiment | None, errors: Errors) -> None:
    if experiment is not None and experiment.project_id != project.pk:
        errors["experiment"] = [_("Choose one of the project's experiments.")]


def _timeout(minutes: Any, errors: Errors) -> None:
    longest = settings.LONGEST_TRAINING_MINUTES
    whole = isinstance(minutes, int) and not isinstance(minutes, bool)
    if not whole or not 1 <= minutes <= longest:
        text = _("The maximum time is a whole number of minutes from 1 to %(longest)s.")
        errors["timeout_minutes"] = [text % {"longest": longest}]


def _early_stopping(epochs: Any, errors: Errors) -> None:
    whole = isinstance(epochs, int) and not isinstance(epochs, bool)
    if not whole or not 0 <= epochs <= LONGEST_PATIENCE:
        text = _("Early stopping is a whole number of epochs from 0 (off) to %(longest)s.")
        errors["early_stopping"] = [text % {"longest": LONGEST_PATIENCE}]


def priority_errors(priority: Any) -> Errors:
    if isinstance(priority, int) and not isinstance(priority, bool) and priority in Priority.values:
        return {}
    return {"priority": [_("The priority is 1 (high), 0 (normal) or -1 (low).")]}


def _weights(project: Project, algorithm: str, given: dict[str, Any], errors: Errors) -> str:
    """The folder that the weights come from, relative to CONSOLE_HOME; "" when they come from elsewhere."""
    weights, checkpoint = given["initial_weights"], given["checkpoint"]
    if checkpoint:
        if weights != "auto":
            text = _("A checkpoint brings its own weights: leave the initial weights at auto.")
            errors["initial_weights"] = [text]
        return _checkpoint(project, algorithm, checkpoint, errors)
    if weights in WEIGHTS:
        return ""
    folder = Path(settings.CONSOLE_HOME, given["weights_folder"] or "").resolve()
    inside = folder.is_relative_to(settings.CONSOLE_HOME) and folder != settings.CONSOLE_HOME
    if not (given["weights_folder"] and inside and (folder / "model.safetensors").is_file()):
        text = _("Choose auto, pretrained, scratch or one of the project's models of the same algorithm.")
        errors["initial_weights"] = [text]
        return ""
    return str(folder.relative_to(settings.CONSOLE_HOME))


def _checkpoint(project: Project, algorithm: str, checkpoint: Any, errors: Errors) -> str:
    for known in training_checkpoints(project=project, algorithm=algorithm):
        if known["id"] == checkpoint:
            return known["folder"]
    errors["checkpoint"] = [_("There is no such checkpoint of this algorithm in the project.")]
    return ""


def training_checkpoints(project: Project, algorithm: str) -> list[dict[str, str]]:
    """The complete checkpoints that a new training may start from, newest training first.

    -> [{"id": "<training id>/checkpoint-500", "label": "cats, step 500", "folder": relative to CONSOLE_HOME}].
    The trainer renames a checkpoint to this name only when all of it is on the disk. One that still trains is
    left out: it would remove the checkpoint before a new training comes to its turn.
    """
    rows = []
    ended = Training.objects.filter(project=project, algorithm=algorithm).exclude(status__in=Training.UNFINISHED)
    for training in ended:
        for step, folder in complete_checkpoints(training):
            rows.append(
                {
                    "id": f"{training.pk}/{folder.name}",
                    "label": _("%(training)s, step %(step)s") % {"training": training.name, "step": step},
                    "folder": str(folder.relative_to(settings.CONSOLE_HOME)),
                }
            )
    return rows


def complete_checkpoints(training: Training) -> list[tuple[int, Path]]:
    """-> [(step, folder)], highest step first."""
    found = []
    for folder in training.checkpoints_folder.glob("checkpoint-*"):
        step = folder.name.removeprefix("checkpoint-")
        if step.isdecimal() and all((folder / name).is_file() for name in ("trainer_state.json", "model.safetensors")):
            found.append((int(step), folder))
    return sorted(found, reverse=True)
