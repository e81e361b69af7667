"""Room on the disk for what a training writes next. Where there is none, its own older checkpoints make it."""

import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Any

from training import disk
from training.algorithms.base import Message, gettext_noop
from training.trainer import checkpoints
from training.trainer.events import say

SPARE_BYTES = 1024 * 1024  # for events, log and TensorBoard beside what is asked for
STATES = 2  # AdamW keeps two figures of each trained weight
FLOAT_BYTES = 4


class NoRoom(Exception):
    """Not even without older checkpoints. `message` says how much is missing."""

    def __init__(self, needed: int, free: int) -> None:
        text = gettext_noop("It needs %(needed)s, and %(free)s of the disk are free.")
        self.message = Message(text, {"needed": disk.readable(needed), "free": disk.readable(free)})
        super().__init__(str(self.message))


def model_bytes(model: Any) -> int:
    """What the weights of a torch module take in a file, about."""
    return sum(tensor.numel() * FLOAT_BYTES for tensor in (*model.parameters(), *model.buffers())) + SPARE_BYTES // 8


def checkpoint_bytes(folder: Path, model: Any) -> int:
    """What the next checkpoint will take: as much as the newest in `folder`, else what weights and optimiser do."""
    newest = checkpoints.all_checkpoints(folder)[-1:]
    if newest:
        return disk.size_of(newest[0])
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    return model_bytes(model) + trained * STATES * FLOAT_BYTES


def make(folder: Path, needed: int, keep: Collection[Path] = ()) -> None:
    """See that `needed` bytes fit on the disk of `folder`; for want of them remove its checkpoints, oldest first.

    The newest complete one stays, whatever happens, and so do those in `keep`. Raises NoRoom, OSError.
    """
    needed += SPARE_BYTES
    if disk.free_bytes(folder) >= needed:
        return
    last = checkpoints.newest_complete(folder)
    for path in checkpoints.all_checkpoints(folder):
        if path != last and path not in keep:
            say(f"{path.name} is removed: the disk is full")
            shutil.rmtree(path)
            if disk.free_bytes(folder) >= needed:
                return
    raise NoRoom(needed, disk.free_bytes(folder))


def foresee(folder: Path, model: Any) -> Message | None:
    """What to tell a person at the start, when the disk will not take the next checkpoint. Removes nothing."""
    needed, free = checkpoint_bytes(folder, model) + SPARE_BYTES, disk.free_bytes(folder)
    if needed <= free or len(checkpoints.all_checkpoints(folder)) > 1:  # older ones make room
        return None
    text = gettext_noop(
        "There is no room for a checkpoint. %(why)s "
        "Make room on the disk, or else an interruption costs what is trained."
    )
    return Message(text, {"why": NoRoom(needed, free).message})


def why_not(error: Exception) -> Message | None:
    """Why a checkpoint could not be written, when the disk is to blame; else None."""
    return error.message if isinstance(error, NoRoom) else disk.reason(error)


def warning(step: int, why: Message, last: Path | None) -> Message:
    """What the job's page says of a checkpoint that was not saved."""
    if last is None:
        text = gettext_noop(
            "No checkpoint could be saved at step %(step)s. %(why)s The training goes on without one: "
            "should it be interrupted, it starts anew. Make room on the disk."
        )
        return Message(text, {"step": step, "why": why})
    text = gettext_noop(
        "No checkpoint could be saved at step %(step)s. %(why)s The training goes on without it: "
        "should it be interrupted, it goes on from step %(last)s. Make room on the disk."
    )
    return Message(text, {"step": step, "why": why, "last": checkpoints.step_of(last)})
