"""Takes files from ended trainings: checkpoints, TensorBoard, logs. Never from one that another training needs.

A folder gets another name before it is deleted, so that a half-deleted checkpoint is never taken for a whole one.
"""

import shutil
from collections.abc import Callable, Collection
from pathlib import Path

from training.disk import size_of
from training.models import Event, Training
from training.space import LOGS
from training.trainer.checkpoints import all_checkpoints, newest_complete

REMOVED = {"logs": "log_removed", "tensorboard": "tensorboard_removed", "checkpoints": "checkpoints_removed"}


def files(training: Training, kind: str) -> list[Path]:
    """What there is of `kind`: a key of REMOVED."""
    named: dict[str, Callable[[], list[Path]]] = {
        "logs": lambda: [training.folder / name for name in LOGS],
        "tensorboard": lambda: [training.folder / "tensorboard"],
        "checkpoints": lambda: all_checkpoints(training.checkpoints_folder),
    }
    return [path for path in named[kind]() if path.exists()]


def remove(training: Training, paths: Collection[Path]) -> int:
    """Delete them, whole or not at all to everyone who looks. -> bytes freed. Raises OSError."""
    freed = 0
    for path in paths:
        size = size_of(path)
        doomed = training.folder / f"removed-{path.name}.tmp"  # .tmp: what a kill leaves of it goes with the others
        _delete(doomed)
        path.replace(doomed)
        _delete(doomed)
        freed += size
    return freed


def remove_leftovers(training: Training) -> None:
    """What a process that was killed in remove() left."""
    for path in training.folder.glob("removed-*.tmp"):
        _delete(path)


def _delete(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def users(training: Training, statuses: Collection[str]) -> list[Training]:
    """The trainings in one of `statuses` that start from a checkpoint of `training`."""
    return list(Training.objects.filter(checkpoint__startswith=f"{training.pk}/", status__in=statuses))


def needed(training: Training) -> set[Path]:
    """The checkpoints that a resume needs: the newest of a stopped training, and those that others start from."""
    names = {user.checkpoint.partition("/")[2] for user in users(training, (*Training.UNFINISHED, "STOPPED"))}
    kept = {training.checkpoints_folder / name for name in names}
    if training.status == "STOPPED" and len(all_checkpoints(training.checkpoints_folder)) > 1:
        kept |= {path for path in (newest_complete(training.checkpoints_folder),) if path}
    elif training.status == "STOPPED":
        kept |= set(all_checkpoints(training.checkpoints_folder))
    return kept


def removed(training: Training) -> dict[str, Event]:
    """What is gone of an ended training, by kind, with the event that says when and why."""
    if training.status in Training.UNFINISHED:
        return {}
    kinds = {event: kind for kind, event in REMOVED.items()}
    events = training.events().filter(to_status__in=kinds).order_by("at", "id")
    found = {kinds[event.to_status]: event for event in events}
    return {kind: event for kind, event in found.items() if not files(training, kind)}
