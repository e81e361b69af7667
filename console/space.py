"""What uses the disk, for the page and the API: a project's parts from every layer, and the disk they are on."""

import heapq
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass

from django.conf import settings
from django.core.cache import cache

from endpoints import kept_images
from endpoints.models import Stage
from endpoints.services.logs import engine_logs
from models_registry.models import Model
from training import space
from training.disk import size_of
from training.models import Project
from training.space import Part

KINDS = ("datasets", "uploads", "checkpoints", "tensorboard", "logs", "models", "images")
LARGEST = 20
SLOW_SECONDS = 1.0  # a measurement that took longer is shown again for KEPT_SECONDS
KEPT_SECONDS = 30


@dataclass(frozen=True)
class Disk:
    """Bytes of the disk that CONSOLE_HOME is on. `low`: less is free than DISK_LOW_BYTES."""

    total: int
    used: int
    free: int
    low: bool


@dataclass(frozen=True)
class Space:
    """`kinds`: bytes by kind. `rotated`: those of the engines' old logs, which can be deleted."""

    kinds: dict[str, int]
    largest: list[Part]
    rotated: int


def disk() -> Disk:
    found = shutil.disk_usage(settings.CONSOLE_HOME)
    return Disk(found.total, found.total - found.free, found.free, found.free < settings.DISK_LOW_BYTES)


def measure(project: Project) -> Space:
    """What the project holds, measured now, or a moment ago when that takes long."""
    kept: Space | None = cache.get(_key(project))
    if kept:
        return kept
    began = time.monotonic()
    found = _measure(project)
    if time.monotonic() - began > SLOW_SECONDS:
        cache.set(_key(project), found, KEPT_SECONDS)
    return found


def forget(project: Project) -> None:
    """Something was deleted: measure anew the next time."""
    cache.delete(_key(project))


def _key(project: Project) -> str:
    return f"space:{project.pk}"


def _measure(project: Project) -> Space:
    """In constant memory: sums, and the largest parts so far."""
    kinds, largest = dict.fromkeys(KINDS, 0), list[tuple[int, int, Part]]()
    for order, part in enumerate(_parts(project)):  # by order: parts of one size are not compared themselves
        kinds[part.kind] += part.bytes
        heapq.heappush(largest, (part.bytes, order, part))
        if len(largest) > LARGEST:
            heapq.heappop(largest)
    rotated = sum(size_of(path) for _row, _log, path in engine_logs(project))
    return Space(kinds, [part for _bytes, _order, part in sorted(largest, reverse=True)], rotated)


def _parts(project: Project) -> Iterator[Part]:
    yield from space.parts(project)
    for model in Model.objects.filter(project=project).only("name").iterator():
        if size := size_of(model.folder) + size_of(model.folder.with_suffix(".tmp")):
            yield Part("models", "model", model.pk, model.name, size)
    for stage in Stage.objects.filter(endpoint__project=project).select_related("endpoint").iterator():
        if size := size_of(kept_images.folder(stage.pk)):
            yield Part("images", "endpoint", stage.endpoint_id, f"{stage.endpoint.name} / {stage.name}", size)
    for row, log, rotated in engine_logs(project):
        if size := size_of(log) + size_of(rotated):
            name = f"{row.stage.endpoint.name} / {row.stage.name}"
            yield Part("logs", "endpoint", row.stage.endpoint_id, name, size)
