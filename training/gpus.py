"""Which GPU a trainer sees: one that no other trainer of this host has. On a host without GPUs: nothing to do.

TRAINING_SLOTS is one for each GPU; which of them a training has stands in its run folder (`gpu`), so that it
holds for a trainer that outlives its runner too.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.conf import settings

from training.heartbeats import host_name
from training.models import Training
from training.processes import ProcessId

DRIVER = Path("/proc/driver/nvidia/gpus")


def visible() -> list[str]:
    """The GPUs that the console may use, as CUDA_VISIBLE_DEVICES names them."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [name.strip() for name in named.split(",") if name.strip()]
    return [str(number) for number, _gpu in enumerate(sorted(DRIVER.glob("*")))]


@contextmanager
def choosing() -> Iterator[None]:
    """One runner at a time chooses, until its trainer's pid is noted."""
    settings.RUN_FOLDER.mkdir(parents=True, exist_ok=True)
    with (settings.RUN_FOLDER / f"gpus@{host_name()}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def choose(training: Training) -> dict[str, str]:
    """What the trainer's environment needs, called while `choosing()`: the GPU with the fewest trainers."""
    gpus = visible()
    if not gpus:
        return {}
    others = Training.objects.exclude(pk=training.pk).filter(pid__isnull=False, host=host_name())
    taken = [_gpu_of(other) for other in others]
    gpu = min(gpus, key=taken.count)
    (training.folder / "gpu").write_text(gpu)
    return {"CUDA_VISIBLE_DEVICES": gpu}


def _gpu_of(training: Training) -> str:
    """ "" for one whose trainer has ended."""
    noted = training.folder / "gpu"
    trainer = ProcessId(training.pid or 0, training.pid_started or 0)
    return noted.read_text() if trainer.alive() and noted.exists() else ""
