"""How long the supervisor waits for an engine, and what it makes of one that keeps dying."""

import time
from dataclasses import dataclass

FIRST_PAUSE, LONGEST_PAUSE = 0.25, 30.0  # seconds before the next start


@dataclass(frozen=True)
class Patience:
    """How long to wait before giving up, in seconds, and how many deaths in a row are too many.

    `ready`: for a model to be loaded and to answer its probe. `stop`: for an engine to end when the console stops;
    `finish`: when others answer in its place. `linger`: from the moment when the routes are without an engine.
    `together`: for the other engines of a new deployment, once the first is ready. `steady`: an engine that
    was ready for so long has lived down its earlier deaths.
    """

    ready: float = 180
    probe: float = 5
    hung: float = 10
    stop: float = 10
    finish: float = 60
    linger: float = 0.5
    together: float = 10
    steady: float = 30
    deaths: int = 8  # the last pause before it is over is one of 16 seconds
    failed_starts: int = 3
    failed_loads: int = 2


@dataclass
class Trouble:
    """How often the engines of one deployment died without having been ready for a while in between."""

    deaths: int = 0
    not_before: float = 0

    def add(self) -> int:
        """Note a death. -> their number; the pause before the next start doubles each time."""
        self.deaths += 1
        self.pause(min(FIRST_PAUSE * 2 ** (self.deaths - 1), LONGEST_PAUSE))
        return self.deaths

    def pause(self, seconds: float) -> None:
        self.not_before = time.monotonic() + seconds

    @property
    def pausing(self) -> bool:
        return time.monotonic() < self.not_before
