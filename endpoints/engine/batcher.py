"""One thread that runs the model, and the queue before it.

Requests are decoded before they come here, so that nothing in a batch can be wrong any more. The
thread blocks for the first input, then takes along what is *already* waiting and fits: it never waits
for company, so an idle engine answers a lone request at once.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from endpoints.engine.errors import InferenceFailed, NotReady, TooBusy

log = logging.getLogger(__name__)

Arrays = dict[str, np.ndarray]


class Runtime(Protocol):
    """What runs the network. `batch_pixels`: how many pixels of input pay in one run."""

    batch_pixels: int

    def run(self, inputs: Mapping[str, np.ndarray]) -> Arrays: ...


@dataclass(eq=False)
class Item:
    """One image on its way: `array` is (3, H, W) float32; the future gets its row of every output."""

    array: np.ndarray
    future: "Future[Arrays]" = field(default_factory=Future)


class Batcher:
    """`stack` makes the network's inputs of the images' arrays (an algorithm's `predict.batch`).

    Only images of one shape share a batch: padding would let an image's answer depend on its company.
    """

    def __init__(
        self, runtime: Runtime, stack: Callable[[Sequence[np.ndarray]], Arrays], *, max_waiting_bytes: int = 512 * 2**20
    ) -> None:
        self._runtime = runtime
        self._stack = stack
        self._max_waiting_bytes = max_waiting_bytes
        self._waiting: deque[Item] = deque()
        self._waiting_bytes = 0
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._loop, name="model", daemon=True)
        self._thread.start()

    def submit(self, arrays: Sequence[np.ndarray]) -> "list[Future[Arrays]]":
        """Queue all images of a request, or none. Raises TooBusy when they do not fit, NotReady after close()."""
        items = [Item(array) for array in arrays]
        size = sum(array.nbytes for array in arrays)
        with self._changed:
            if self._closed:
                raise NotReady("This engine is shutting down.")
            if self._waiting and self._waiting_bytes + size > self._max_waiting_bytes:
                raise TooBusy("Too many requests are waiting for this model.")
            self._waiting.extend(items)
            self._waiting_bytes += size
            self._changed.notify()
        return [item.future for item in items]

    def close(self) -> None:
        """Answer what is queued, then end the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _loop(self) -> None:
        while batch := self._take():
            live = [item for item in batch if item.future.set_running_or_notify_cancel()]
            if live:
                self._answer(live)

    def _take(self) -> list[Item]:
        """Block for the first image; add those of its shape that already wait, in order. [] at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            if not self._waiting:
                return []
            shape = self._waiting[0].array.shape
            room = max(1, self._runtime.batch_pixels // (shape[-2] * shape[-1]))
            batch: list[Item] = []
            others: deque[Item] = deque()
            while self._waiting and len(batch) < room:
                item = self._waiting.popleft()
                (batch if item.array.shape == shape else others).append(item)
            self._waiting.extendleft(reversed(others))
            self._waiting_bytes -= sum(item.array.nbytes for item in batch)
            return batch

    def _answer(self, batch: list[Item]) -> None:
        """Run the batch. If it fails, run its images one by one, so that only the culprit is refused."""
        try:
            outputs = self._runtime.run(self._stack([item.array for item in batch]))
        except Exception:
            if len(batch) > 1:
                for item in batch:
                    self._answer([item])
                return
            log.exception("The model failed on an input of shape %s", batch[0].array.shape)
            batch[0].future.set_exception(InferenceFailed("The model failed on this image. The engine's log says why."))
            return
        for row, item in enumerate(batch):
            item.future.set_result({name: values[row] for name, values in outputs.items()})
