"""One thread that runs the model, and the queue before it.

Requests are decoded before they come here, so that nothing in a batch can be wrong any more. The thread blocks
for the first request, then takes along what is *already* waiting and fits. It waits for company only where the
measured curve says that it pays, and only while others are known to be on their way: an idle engine answers a
lone request at once.
"""

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Mapping, Sequence
from concurrent.futures import Future
from itertools import islice
from typing import NamedTuple, Protocol

import numpy as np

from endpoints.engine.errors import DeadlinePassed, EngineError, InferenceFailed, NotReady, TooBusy

log = logging.getLogger(__name__)

Arrays = dict[str, np.ndarray]

PIXEL_BYTES = 3 * 4  # three channels of float32
MAX_WAITING_BYTES = 512 * 2**20
SMOOTHING = 0.2  # the share of the newest run in what a pixel is expected to take


class Runtime(Protocol):
    """What runs the network. `batch_pixels`: how many pixels of input pay in one run."""

    batch_pixels: int

    def run(self, inputs: Mapping[str, np.ndarray]) -> Arrays: ...


class Batching(NamedTuple):
    """`pixels` of input share a run at most; `window` is how many seconds to wait for images that are on their way;
    `pixel_seconds` is what a pixel takes in a full batch, 0 if nobody knows."""

    pixels: int
    window: float = 0.0
    pixel_seconds: float = 0.0


class Job:
    """The images of one request, arrays of (3, H, W) float32; the future gets the outputs' rows of all of them.

    `deadline` is of time.monotonic(). `batch_size`: of the largest batch that an image of it was in.
    """

    def __init__(self, arrays: Sequence[np.ndarray], deadline: float) -> None:
        self.arrays = arrays
        self.deadline = deadline
        self.future: Future[list[Arrays]] = Future()
        self.batch_size = 0
        self.since = time.monotonic()
        self.waiting = list(range(len(arrays)))
        self.waiting_pixels = sum(map(_pixels, arrays))
        self.rows: dict[int, Arrays] = {}

    def take(self, shape: tuple[int, ...], room: int) -> list[int]:
        """Up to `room` images of the shape, in order."""
        taken = list(islice((index for index in self.waiting if self.arrays[index].shape == shape), room))
        gone = set(taken)
        self.waiting = [index for index in self.waiting if index not in gone]
        self.waiting_pixels -= sum(_pixels(self.arrays[index]) for index in taken)
        return taken

    def answer(self, index: int, row: Arrays, batch_size: int) -> None:
        self.batch_size = max(self.batch_size, batch_size)
        self.rows[index] = row
        whole = len(self.rows) == len(self.arrays) and not self.future.done()
        if whole and self.future.set_running_or_notify_cancel():
            self.future.set_result([self.rows[i] for i in range(len(self.arrays))])

    def refuse(self, error: EngineError) -> None:
        if not self.future.done() and self.future.set_running_or_notify_cancel():
            self.future.set_exception(error)


class Batcher:
    """`stack` makes the network's inputs of the images' arrays (an algorithm's `predict.batch`).

    Only images of one shape share a batch: padding would let an image's answer depend on its company.
    """

    def __init__(
        self,
        runtime: Runtime,
        stack: Callable[[Sequence[np.ndarray]], Arrays],
        batching: Batching | None = None,
        *,
        max_waiting_bytes: int = MAX_WAITING_BYTES,
    ) -> None:
        self._runtime = runtime
        self._stack = stack
        self._max_waiting_bytes = max_waiting_bytes
        self.batching = batching or Batching(runtime.batch_pixels)
        self._jobs: deque[Job] = deque()
        self._coming: set[Hashable] = set()  # requests that are being decoded, or wait for that
        self._run_ends = 0.0  # when the run that is under way is expected to end
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._loop, name="model", daemon=True)
        self._thread.start()

    @property
    def batching(self) -> Batching:
        return self._batching

    @batching.setter
    def batching(self, batching: Batching) -> None:
        self._batching = batching
        self._pixel_seconds = batching.pixel_seconds

    def expect(self, request: Hashable) -> None:
        """Its images come as soon as they are decoded: those that wait already may wait for them."""
        with self._changed:
            self._coming.add(request)

    def forget(self, request: Hashable) -> None:
        """Nobody need wait for it any more."""
        with self._changed:
            if request in self._coming:
                self._coming.discard(request)
                self._changed.notify()

    def check_time(self, images: int, pixels: int, deadline: float) -> None:
        """Raises DeadlinePassed when so many images of about so many pixels each cannot be answered in time."""
        with self._changed:
            self._check_time(images * pixels, deadline)

    def submit(self, arrays: Sequence[np.ndarray], deadline: float = math.inf, request: Hashable = None) -> Job:
        """Queue all images of a request, or none. A `request` that was expected has come then.

        Raises TooBusy when they do not fit, DeadlinePassed when their turn would come too late, NotReady after close().
        """
        job = Job(arrays, deadline)
        if not arrays:
            job.future.set_result([])
            return job
        with self._changed:
            if self._closed:
                raise NotReady("This engine is shutting down.")
            self._check_time(job.waiting_pixels, deadline)
            waiting = sum(other.waiting_pixels for other in self._jobs) + job.waiting_pixels
            if self._jobs and waiting * PIXEL_BYTES > self._max_waiting_bytes:
                raise TooBusy("Too many requests are waiting for this model.")
            self._jobs.append(job)
            self._coming.discard(request)
            self._changed.notify()
        return job

    def close(self) -> None:
        """Answer what is queued, then end the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _check_time(self, pixels: int, deadline: float) -> None:
        """Raises DeadlinePassed. What callers no longer wait for is out of the queue afterwards."""
        self._drop_the_dead()
        now = time.monotonic()
        waiting = sum(job.waiting_pixels for job in self._jobs)
        busy = waiting or self._run_ends
        # An idle engine trusts its first measurement: after one slow run it would refuse everybody for good.
        seconds = (waiting + pixels) * (self._pixel_seconds if busy else self._batching.pixel_seconds)
        if max(now, self._run_ends) + seconds > deadline:
            raise DeadlinePassed("The queue is too long to answer this request in its time.")

    def _drop_the_dead(self) -> None:
        """Take the requests out whose callers hung up or have waited too long."""
        now = time.monotonic()
        for job in self._jobs:
            if job.deadline <= now:
                job.refuse(DeadlinePassed("This request's turn did not come in its time."))
        if any(job.future.done() for job in self._jobs):
            self._jobs = deque(job for job in self._jobs if not job.future.done())

    def _loop(self) -> None:
        while batch := self._take():
            self._answer(batch)
            self._run_ends = 0.0

    def _take(self) -> list[tuple[Job, int]]:
        """Block for the first image; add those of its shape that already wait, in order. [] at the end."""
        batch: list[tuple[Job, int]] = []
        with self._changed:
            while not batch:
                self._changed.wait_for(lambda: self._jobs or self._closed)
                if not self._jobs:
                    return []
                self._wait_for_company()
                self._drop_the_dead()
                batch = self._fill()
            pixels = sum(_pixels(job.arrays[index]) for job, index in batch)
            self._run_ends = time.monotonic() + pixels * self._pixel_seconds
        return batch

    def _wait_for_company(self) -> None:
        if self._batching.window and self._coming:
            first = self._jobs[0]
            room = self._room(first.arrays[first.waiting[0]])
            left = first.since + self._batching.window - time.monotonic()
            self._changed.wait_for(lambda: not self._coming or sum(len(j.waiting) for j in self._jobs) >= room, left)

    def _fill(self) -> list[tuple[Job, int]]:
        """The next batch: [] when nobody waits. A request that is larger than a batch goes on behind the others."""
        if not self._jobs:
            return []
        first = self._jobs[0]
        array = first.arrays[first.waiting[0]]
        room = self._room(array)
        batch: list[tuple[Job, int]] = []
        for job in self._jobs:
            batch += [(job, index) for index in job.take(array.shape, room - len(batch))]
            if len(batch) == room:
                break
        self._jobs.rotate(-1)
        self._jobs = deque(job for job in self._jobs if job.waiting)
        return batch

    def _room(self, array: np.ndarray) -> int:
        return max(1, self._batching.pixels // _pixels(array))

    def _answer(self, batch: list[tuple[Job, int]]) -> None:
        """Run the batch. If it fails, run its images one by one, so that only the culprit is refused."""
        arrays = [job.arrays[index] for job, index in batch]
        began = time.monotonic()
        try:
            outputs = self._runtime.run(self._stack(arrays))
        except Exception:
            if len(batch) > 1:
                for entry in batch:
                    self._answer([entry])
                return
            log.exception("The model failed on an input of shape %s", arrays[0].shape)
            batch[0][0].refuse(InferenceFailed("The model failed on this image. The engine's log says why."))
            return
        newest = (time.monotonic() - began) / sum(map(_pixels, arrays))
        self._pixel_seconds += SMOOTHING * (newest - self._pixel_seconds)
        for row, (job, index) in enumerate(batch):
            job.answer(index, {name: values[row] for name, values in outputs.items()}, len(batch))


def _pixels(array: np.ndarray) -> int:
    return int(array.shape[-2] * array.shape[-1])
