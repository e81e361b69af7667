"""How long a batch takes, by its size: measured when a model is loaded; batch size and window follow from it."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

log = logging.getLogger(__name__)

SIZES = (1, 2, 4, 8, 16, 32)
SECONDS = 1.0  # for the whole curve: a deployment waits for it
PASSES = 10  # through all sizes, if there is time: what else the machine does meets them alike; the quickest run counts
WORTH = 0.95  # a larger batch is taken only when it saves a twentieth of an image's time
LONGEST_WINDOW_MS = 10.0  # about what decoding a photo for each of eight callers takes on two cores


class Point(NamedTuple):
    """A run of `batch` images takes `ms` milliseconds."""

    batch: int
    ms: float

    @property
    def per_image(self) -> float:
        return self.ms / self.batch


def measure(run: Callable[[int], Any], largest: int, seconds: float = SECONDS) -> list[Point]:
    """`run(n)` computes n images; one image has been computed before. Ends before time is up.

    Sizes are tried while another image in a batch saves something, and as far as the device's memory holds them.
    """
    ends = time.monotonic() + seconds
    quickest = _first_runs(run, largest, ends)
    for _ in range(PASSES if len(quickest) > 1 else 0):  # one size alone is compared with nothing
        for size, ms in quickest.items():
            if time.monotonic() + ms / 1000 > ends:
                return _curve(quickest)
            quickest[size] = min(ms, _ms(run, size))
    return _curve(quickest)


def _first_runs(run: Callable[[int], Any], largest: int, ends: float) -> dict[int, float]:
    """Size -> milliseconds of one run, after one that warms the size up."""
    found: dict[int, float] = {}
    for size in SIZES:
        expected = 2 * size * min((ms / done for done, ms in found.items()), default=0) / 1000
        if size > largest or time.monotonic() + expected > ends:
            break
        try:
            if found:
                run(size)
            found[size] = _ms(run, size)
        except Exception:
            if not found:
                raise
            log.warning("A batch of %s images cannot be computed; smaller ones can", size, exc_info=True)
            break
        per_image = [ms / done for done, ms in found.items()]
        if len(per_image) > 2 and min(per_image[-2:]) > WORTH * per_image[-3]:
            break
    return found


def _ms(run: Callable[[int], Any], size: int) -> float:
    began = time.monotonic()
    run(size)
    return (time.monotonic() - began) * 1000


def _curve(quickest: Mapping[int, float]) -> list[Point]:
    """A batch never takes longer than a larger one: where it seems so, something else was in the way."""
    least = float("inf")
    points: list[Point] = []
    for size, ms in sorted(quickest.items(), reverse=True):
        least = min(least, ms)
        points.insert(0, Point(size, round(least, 3)))
    return points


def batch_size(curve: Sequence[Point]) -> int:
    """The smallest size that is about as quick an image as the best."""
    best = min(point.per_image for point in curve)
    return next(point.batch for point in curve if point.per_image * WORTH <= best)


def window_ms(curve: Sequence[Point]) -> float:
    """How long to wait for images that are being decoded: half of what sharing a full run with them saves.

    0 where it saves less than a fifth of each image's run, as of large images on most CPUs: the run itself is the
    better use of that time.
    """
    alone, full = curve[0], next(point for point in curve if point.batch == batch_size(curve))
    saved = alone.ms - full.per_image
    return round(min(saved * full.batch / 2, LONGEST_WINDOW_MS), 3) if saved > alone.ms / 5 else 0.0
