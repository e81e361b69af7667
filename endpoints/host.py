"""What this host has for engines: how many of them serve a resource, the threads of each, the GPU that it sees."""

import json
import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from django.conf import settings

from endpoints.models import StageResource
from training import gpus

MANY_CORES = 8
CORES_A_REPLICA = 4
MOST_REPLICAS = 4  # that are chosen automatically
SMALL_SIDE = 64  # pixels


def cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0))


def replicas(resource: StageResource) -> int:
    """How many engines serve the resource: as its owner chose, else as many as pay here."""
    return resource.replicas or automatic(resource.model.folder, cores(), len(gpus.visible()))


def automatic(model: Path, core_count: int, gpu_count: int) -> int:
    """One engine a GPU. On a CPU one, whose network runs on all cores; several only for a network so small that
    decoding and HTTP, which one process does on one core, take longer than its run."""
    if gpu_count:
        return gpu_count
    if core_count < MANY_CORES or not _small(model):
        return 1
    return min(core_count // CORES_A_REPLICA, MOST_REPLICAS)


def _small(model: Path) -> bool:
    try:
        return _input_size(model) <= SMALL_SIDE
    except (OSError, ValueError, KeyError):  # no model there, or one whose images keep their size
        return False


@cache
def _input_size(model: Path) -> int:
    """Read once: a model's folder never changes."""
    return int(json.loads((model / "model.json").read_text())["preprocessing"]["input_size"])


def threads(engines: int) -> int:
    """For each of so many engines, so that together they want no more than the cores."""
    return settings.SERVING_THREADS or max(1, cores() // max(1, engines))


def least_used_gpu(used: Sequence[str]) -> str:
    """As CUDA_VISIBLE_DEVICES names it; `used`: those of the living engines. "" on a host without GPUs."""
    return min(gpus.visible(), key=used.count, default="")
