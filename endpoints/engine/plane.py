"""The data plane: one request's way through decoding, the model and its answer. Every protocol uses this."""

import asyncio
import base64
import io
import logging
import math
import resource
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
from PIL import Image

from endpoints.engine import curve, runtimes
from endpoints.engine.batcher import Arrays, Batcher, Batching, Job, Runtime
from endpoints.engine.model import ServedModel

log = logging.getLogger(__name__)

T = TypeVar("T")

QUICK_PIXELS = 128 * 128  # a network's input up to this size is made in less time than handing the work over takes
QUICK_SECONDS = 0.001  # an answer that is written in less is written where it stands
CPU_BATCH_BYTES = 8 * 2**20  # of input in one run: its activations take a hundred times as much


@dataclass(eq=False)
class Ticket:
    """What the server and the data plane tell each other about one request.

    `deadline`: of time.monotonic(), when nobody waits for the answer any more. `images`, `batch_size`: how many it
    had, and how many were computed together. `sizes`: each image's (width, height), once it is decoded.
    """

    deadline: float = math.inf
    images: int = 0
    batch_size: int = 0
    job: Job | None = None
    sizes: list[tuple[int, int]] = field(default_factory=list)
    is_gone: bool = False

    def give_up(self) -> None:
        """The caller is gone: take what waits out of the queue, also what a thread is just about to put there."""
        self.is_gone = True
        if self.job:
            self.job.future.cancel()


# Of the request that is being answered: the protocols between server and data plane need not pass it on.
TICKET: ContextVar[Ticket] = ContextVar("ticket")


class Settings(NamedTuple):
    """How to load a model. None: as measured."""

    device: str = "auto"
    threads: int = 1
    precision: str = "auto"
    runtime: str = ""
    batch_size: int | None = None
    batch_window_ms: float | None = None


class Waiter:
    """What the event loop waits for while two threads, the decoding and the model's, work for a request: the loop is
    woken once, when both are done.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.future: asyncio.Future[list[Arrays]] = self._loop.create_future()

    def tell(self, done: Future[list[Arrays]]) -> None:
        """From any thread."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._take, done)

    def _take(self, done: Future[list[Arrays]]) -> None:
        if self.future.done():  # its caller is gone
            return
        if done.cancelled():
            self.future.cancel()
        elif error := done.exception():
            self.future.set_exception(error)
        else:
            self.future.set_result(done.result())


class DataPlane:
    """`threads` decode images and write answers beside the one thread that runs the model."""

    def __init__(self, model: ServedModel, runtime: Runtime, threads: int) -> None:
        self.model = model
        self.info: dict[str, Any] = {}
        self._runtime = runtime
        self._image_pixels = 0  # of one image of the probe, resized
        self._answer_seconds = math.inf
        self._batcher = Batcher(runtime, model.predict.batch)
        self._pool = ThreadPoolExecutor(max(2, threads), thread_name_prefix="images")

    async def infer(self, instances: Sequence[Any], parameters: Mapping[str, Any]) -> list[Any]:
        """One answer an instance. Raises EngineError. Cancelling it takes what still waits out of the queue."""
        self.model.check_parameters(parameters)
        rows, sizes = await self.run(instances)
        if self.is_quickly_answered(len(rows)):
            return self.model.answers(rows, sizes, parameters)
        return await self.in_pool(self.model.answers, rows, sizes, parameters)

    async def run(self, instances: Sequence[Any]) -> tuple[list[Arrays], list[tuple[int, int]]]:
        """-> (the network's outputs for each instance, its image's (width, height)). Raises EngineError."""
        ticket = TICKET.get(None) or Ticket()
        ticket.images = len(instances)
        self._batcher.expect(ticket)
        waiter = Waiter()
        try:
            if self._image_pixels <= QUICK_PIXELS and self.model.is_quickly_decoded(instances):
                self._queue(instances, ticket, waiter)
            else:
                self._pool.submit(self._queue, instances, ticket, waiter)
            rows = await waiter.future
        except asyncio.CancelledError:
            ticket.give_up()
            raise
        finally:
            self._batcher.forget(ticket)
        assert ticket.job is not None
        ticket.batch_size = ticket.job.batch_size
        return rows, ticket.sizes

    def _queue(self, instances: Sequence[Any], ticket: Ticket, waiter: Waiter) -> None:
        """Decode the images and put them before the model, in one thread. The waiter is told what came of it."""
        try:
            self._batcher.check_time(len(instances), self._image_pixels, ticket.deadline)
            arrays, ticket.sizes = self.model.decode(instances)
            ticket.job = job = self._batcher.submit(arrays, ticket.deadline, ticket)
        except Exception as error:
            failed: Future[list[Arrays]] = Future()
            failed.set_exception(error)
            waiter.tell(failed)
            return
        job.future.add_done_callback(waiter.tell)
        if ticket.is_gone:
            job.future.cancel()

    async def in_pool(self, function: Callable[..., T], *arguments: Any) -> T:
        """Call what takes a while in a thread beside the model's."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, function, *arguments)

    def is_quickly_answered(self, images: int) -> bool:
        """Whether the answers of so many images are made in less time than handing them over takes."""
        return self._answer_seconds * images < QUICK_SECONDS

    def probe(self) -> np.ndarray:
        """Answer a generated image. -> the network's input. Raises when the model cannot answer it."""
        arrays, sizes = self.model.decode([{"data": generated_image()}])
        rows = self._batcher.submit(arrays).future.result()
        if not all(np.isfinite(values).all() for values in rows[0].values()):
            raise RuntimeError("The model answers with numbers that are not finite.")
        self.model.answers(rows, sizes, {})  # the first time is slow
        began = time.perf_counter()
        self.model.answers(rows, sizes, {})
        self._answer_seconds = time.perf_counter() - began
        return arrays[0]

    def measure(self, array: np.ndarray, largest: int) -> list[curve.Point]:
        """The curve of the network's input `array`."""
        return curve.measure(lambda n: self._runtime.run(self.model.predict.batch([array] * n)), largest)

    def settle(
        self, array: np.ndarray, points: list[curve.Point], size: int | None, window_ms: float | None
    ) -> dict[str, Any]:
        """Batch as the curve `points` of the input `array` says, or as told. -> what /-/info says of it."""
        size = size or curve.batch_size(points)
        window_ms = curve.window_ms(points) if window_ms is None else window_ms
        self._image_pixels = array.shape[-2] * array.shape[-1]
        image_ms = min(point.per_image for point in points if point.batch <= size)
        self._batcher.batching = Batching(
            self._image_pixels * size, window_ms / 1000, image_ms / 1000 / self._image_pixels
        )
        return {"batch_size": size, "batch_window_ms": window_ms, "curve": [point._asdict() for point in points]}

    def close(self) -> None:
        self._batcher.close()
        self._pool.shutdown()


def memory_mb() -> float:
    """What this process holds in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return round(pages * resource.getpagesize() / 2**20, 1)


def generated_image() -> str:
    """A 64 x 48 PNG with all colours, in base64."""
    y, x = np.mgrid[0:48, 0:64]
    pixels = np.stack([x * 4, y * 5, (x + y) * 2], axis=-1).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def load(folder: Path, settings: Settings) -> DataPlane:
    """Load the model of `folder`, warm it up, measure it and have it answer a probe. Raises when any of that fails.

    A quick network has run before the probe. A slow one may not have: its runs are what a start takes its time for.
    """
    began = time.monotonic()
    log.info("Loading the model")
    runtime = runtimes.choose(folder, settings.device, settings.threads, settings.precision, settings.runtime)
    plane = DataPlane(ServedModel(folder), runtime, settings.threads)
    array = plane.probe()
    largest = (CPU_BATCH_BYTES if runtime.device == "cpu" else runtime.batch_pixels * 12) // array.nbytes
    slow = runtime.image_ms >= runtimes.SLOW_MS  # then company saves nothing
    points = [curve.Point(1, runtime.image_ms)] if slow else plane.measure(array, max(1, largest))
    batching = plane.settle(array, points, settings.batch_size, settings.batch_window_ms)
    plane.info = {
        "runtime": runtime.name,
        "precision": runtime.precision,
        "device": runtime.device,
        "threads": settings.threads,
        **batching,
        "candidates": runtime.candidates,
        "parity": runtime.parity,
        "load_seconds": round(time.monotonic() - began, 3),
    }
    log.info(
        "Ready after %(load_seconds)s s: %(runtime)s in %(precision)s on %(device)s, threads: %(threads)s, "
        "images a run: %(batch_size)s",
        plane.info,
    )
    return plane
