"""How long a batch takes, by its size: measured when a model is loaded; batch size and window follow from it."""

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

log = logging.getLogger(__name__)

SIZES = (1, 2, 4, 8, 16, 32)
SECONDS = 1.0  # for the whole curve: a deployment waits for it
REPEATS, SIZE_SECONDS = 4, 0.06  # at least so many runs of a size, and for so long: the quickest counts
MOST_REPEATS = 30
WORTH = 0.95  # a larger batch is taken only when it saves a twentieth of an image's time
LONGEST_WINDOW_MS = 5.0


class Point(NamedTuple):
    """A run of `batch` images takes `ms` milliseconds."""

    batch: int
    ms: float

    @property
    def per_image(self) -> float:
        return self.ms / self.batch


def measure(run: Callable[[int], Any], largest: int, seconds: float = SECONDS) -> list[Point]:
    """`run(n)` computes n images. Stops where another image in a batch saves nothing any more, and before time is up.

    A size that the device's memory does not hold ends the curve.
    """
    ends = time.monotonic() + seconds
    curve: list[Point] = []
    for size in SIZES:
        if size > largest or (curve and time.monotonic() + 2 * curve[-1].per_image * size / 1000 > ends):
            break
        try:
            curve.append(Point(size, _quickest(run, size, ends)))
        except Exception:
            if not curve:
                raise
            log.warning("A batch of %s images cannot be computed; smaller ones can", size, exc_info=True)
            break
        if len(curve) > 2 and min(point.per_image for point in curve[-2:]) > WORTH * curve[-3].per_image:
            break
    return curve


def _quickest(run: Callable[[int], Any], size: int, ends: float) -> float:
    """Milliseconds. The first run of a size is slow, and what else the machine does can only make a run longer."""
    first = time.monotonic()
    quickest = float("inf")
    for done in range(1, MOST_REPEATS + 1):
        began = time.monotonic()
        run(size)
        now = time.monotonic()
        quickest = min(quickest, now - began)
        if now + (now - began) > ends or (done >= REPEATS and now - first > SIZE_SECONDS):
            break
    return round(quickest * 1000, 3)


def batch_size(curve: Sequence[Point]) -> int:
    """The smallest size that is about as quick an image as the best."""
    best = min(point.per_image for point in curve)
    return next(point.batch for point in curve if point.per_image * WORTH <= best)


def window_ms(curve: Sequence[Point]) -> float:
    """How long to wait for a second image that is being decoded: half of what sharing a run with it saves.

    0 where it saves less than a fifth of a run, as on most CPUs: the run itself is the better use of that time.
    """
    by_size = {point.batch: point.ms for point in curve}
    saved = 2 * by_size[1] - by_size.get(2, 2 * by_size[1])
    return round(min(saved / 2, LONGEST_WINDOW_MS), 3) if saved > by_size[1] / 5 and batch_size(curve) > 1 else 0.0
