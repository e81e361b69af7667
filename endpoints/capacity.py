"""The capacity card of a stage resource: what its engines do for 1, 4, 16 and 64 callers, measured as calls arrive.

A worker asks the engines at their sockets, as the web process does: what is measured is decoding, batching, the network
and the answer. Calls that arrive meanwhile, and other work on the host, are part of the figures: the card says when.
"""

import asyncio
import base64
import fcntl
import io
import json
import logging
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import numpy as np
import psutil
from django.conf import settings
from django.utils import timezone
from PIL import Image

from endpoints import routes
from endpoints.models import StageResource
from endpoints.processes import probe
from training.algorithms.base import Message, gettext_noop

log = logging.getLogger(__name__)

CALLERS = (1, 4, 16, 64)
ANSWER_SECONDS = 60
IMAGE = (640, 480)  # width, height of what is sent: as a JPEG about 100 kB, the usual photo
FROM_ENGINE = ("runtime", "precision", "batch_size", "batch_window_ms", "curve")


class NoEngine(Exception):
    """There is no ready engine to measure, or it went away meanwhile."""


class Pace(NamedTuple):
    """The callers of a row go on calling for `row` seconds; one whose answers would take `longest` is left out."""

    row: float = 3.0
    longest: float = 20.0


@dataclass
class Row:
    """What so many callers got. `seconds`: of each answer."""

    callers: int
    seconds: list[float] = field(default_factory=list)
    errors: int = 0

    def as_json(self, elapsed: float) -> dict[str, Any]:
        times = sorted(self.seconds)
        found: dict[str, Any] = {"callers": self.callers, "per_second": round(len(times) / elapsed, 2)}
        for name, share in (("p50_ms", 0.5), ("p95_ms", 0.95)):
            found[name] = round(times[min(len(times) - 1, int(len(times) * share))] * 1000, 2) if times else None
        return found | {"errors": self.errors}


def measure(resource_id: str, pace: Pace = Pace()) -> None:  # noqa: B008  a tuple does not change
    """Measure the resource and write its card; does nothing when it is gone. One measurement at a time on a host."""
    resource = StageResource.objects.select_related("model").filter(pk=resource_id).first()
    if resource is None:
        return
    with _turn():
        try:
            card = _card(resource, pace)
        except (NoEngine, OSError, aiohttp.ClientError) as error:
            log.warning("the capacity of %s could not be measured: %s", resource_id, error)
            text = gettext_noop("The engine did not answer while it was measured. Measure again once it is ready.")
            card = {"error": Message(text).as_json(), "measured_at": timezone.now().isoformat()}
    StageResource.objects.filter(pk=resource_id).update(capacity=card, capacity_requested_at=None)


@contextmanager
def _turn() -> Iterator[None]:
    """Wait for other measurements on this host: two at once would measure each other."""
    path = Path(settings.RUN_FOLDER) / "capacity.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _card(resource: StageResource, pace: Pace) -> dict[str, Any]:
    sockets = [routes.engines_folder() / name for name in resource.sockets]
    engines = [found for path in sockets if (found := probe(path))]
    if not engines or len(engines) < len(sockets):
        raise NoEngine
    rows = asyncio.run(_rows(sockets, resource.path, request_body(), pace))
    return {
        "measured_at": timezone.now().isoformat(),
        "deployment": resource.deployment,
        "replicas": len(engines),
        **{name: engines[0].get(name) for name in FROM_ENGINE},
        "cold_start_seconds": max(float(engine["load_seconds"]) for engine in engines),
        "memory_mb": round(sum(map(_megabytes, engines))),
        "rows": rows,
    }


def _megabytes(engine: dict[str, Any]) -> float:
    """What the engine's process holds now, after the load; 0 when it has just ended."""
    try:
        return float(psutil.Process(engine["pid"]).memory_info().rss) / 2**20
    except psutil.NoSuchProcess:
        return 0.0


def request_body() -> bytes:
    """The guide's request with one JPEG of IMAGE pixels: smooth colours with noise, always the same."""
    width, height = IMAGE
    random = np.random.default_rng(0)
    coarse = Image.fromarray(random.integers(0, 256, (6, 8, 3), dtype=np.uint8)).resize(IMAGE, Image.Resampling.BICUBIC)
    noise = random.normal(0, 6, (height, width, 1))
    file = io.BytesIO()
    pixels = (np.asarray(coarse) + noise).clip(0, 255).astype(np.uint8)
    Image.fromarray(pixels).save(file, "JPEG", quality=90)
    return json.dumps({"instances": [{"data": base64.b64encode(file.getvalue()).decode()}]}).encode()


async def _rows(sockets: Sequence[Path], path: str, body: bytes, pace: Pace) -> list[dict[str, Any]]:
    async with _Callers(sockets, path, body) as callers:
        alone = statistics.median([await callers.one(0) for _ in range(3)])  # the first ones warm up
        rows: list[dict[str, Any]] = []
        for count in CALLERS:
            if alone * count / len(sockets) > pace.longest:
                rows.append({"callers": count, "skipped": True})
            else:
                rows.append(await callers.together(count, pace.row))
        return rows


class _Callers:
    """Callers of the engines behind `sockets`, spread evenly over them."""

    def __init__(self, sockets: Sequence[Path], path: str, body: bytes) -> None:
        self._path, self._body = path, body
        self._sessions = [
            aiohttp.ClientSession(
                connector=aiohttp.UnixConnector(str(socket), limit=0),
                timeout=aiohttp.ClientTimeout(total=ANSWER_SECONDS),
            )
            for socket in sockets
        ]

    async def __aenter__(self) -> "_Callers":
        return self

    async def __aexit__(self, *_exception: object) -> None:
        for session in self._sessions:
            await session.close()

    async def one(self, number: int) -> float:
        """-> seconds until the whole answer is there. Raises NoEngine unless it is a good one."""
        began = time.perf_counter()
        session = self._sessions[number % len(self._sessions)]
        headers = {"Content-Type": "application/json"}
        async with session.post(f"http://engine{self._path}", data=self._body, headers=headers) as answer:
            await answer.read()
            if answer.status != 200:
                raise NoEngine(f"status {answer.status}")
        return time.perf_counter() - began

    async def together(self, count: int, seconds: float) -> dict[str, Any]:
        """So many callers at once, each with one call after the other for `seconds`. -> the card's row"""
        row, began = Row(count), time.perf_counter()

        async def caller(number: int) -> None:
            while time.perf_counter() - began < seconds:
                try:
                    row.seconds.append(await self.one(number))
                except (NoEngine, TimeoutError):
                    row.errors += 1
                    await asyncio.sleep(0.05)  # a full queue, most likely

        await asyncio.gather(*map(caller, range(count)))
        if not row.seconds:
            raise NoEngine(f"no answer to {count} callers")
        return row.as_json(time.perf_counter() - began)
