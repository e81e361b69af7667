"""How much may be asked at once and in a minute: counted in the memory of the web process."""

import math
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from endpoints.lookup import Refused
from endpoints.memory import HighWater


@dataclass(frozen=True)
class Limits:
    """Calls that are answered at once, of one stage and of all; bytes of bodies, on their way or waiting, and of
    answers that are being taken; seconds for a body to arrive, and for an answer to be taken."""

    stage: int = 128
    overall: int = 256
    held_bytes: int = 256 * 2**20
    body_seconds: float = 30
    write_seconds: float = 30


class Places:
    """Who is being answered now. A call that finds no place is refused (429) before anybody works for it."""

    def __init__(self, limits: Limits, in_flight: Counter[str]) -> None:
        """`in_flight`: calls by stage; kept here, and read by whoever shows them."""
        self.limits = limits
        self.held = 0  # bytes
        self.high_water = HighWater()
        self._stages = in_flight
        self._taken = 0

    def check(self, stage_id: str) -> None:
        """Raises Refused (429) when the stage, or the process, answers as many calls as it may."""
        if self._taken >= self.limits.overall or self._stages[stage_id] >= self.limits.stage:
            raise Refused(429, "too_busy", "Too many calls at once. Try again shortly.", {"Retry-After": "1"})

    @contextmanager
    def place(self, stage_id: str) -> Iterator[None]:
        """Held while an engine is asked. Raises as `check`."""
        self.check(stage_id)
        self._taken += 1
        self._stages[stage_id] += 1
        try:
            yield
        finally:
            self._taken -= 1
            self._stages[stage_id] -= 1
            if not self._stages[stage_id]:
                del self._stages[stage_id]

    def hold(self, size: int) -> None:
        """Note `size` more bytes of a body. Raises Refused (429) when they are too many together."""
        if self.held + size > self.limits.held_bytes:
            raise Refused(429, "too_busy", "Too many large calls at once. Try again shortly.", {"Retry-After": "1"})
        self.hold_anyway(size)

    def hold_anyway(self, size: int) -> None:
        """Note the bytes of an answer: it is there already, so it is the next bodies that find no room."""
        self.held += size
        self.high_water.note(self.held)

    def let_go(self, size: int) -> None:
        self.held -= size


class Bucket:
    """Tokens of one key: a minute's calls may come at once, after that as many as flow in."""

    __slots__ = ("at", "per_minute", "tokens")

    def __init__(self, per_minute: int, now: float) -> None:
        self.per_minute, self.tokens, self.at = per_minute, float(per_minute), now

    def take(self, now: float) -> float:
        """Take a token. -> 0, or the seconds until there is one."""
        per_second = self.per_minute / 60
        self.tokens = min(self.per_minute, self.tokens + (now - self.at) * per_second)
        self.at = now
        if self.tokens < 1:
            return (1 - self.tokens) / per_second
        self.tokens -= 1
        return 0.0


class Rates:
    """The calls a minute of every key that has a limit."""

    def __init__(self) -> None:
        self._buckets: dict[str, Bucket] = {}

    def count(self, prefix: str, per_minute: int | None) -> None:
        """Count a call of the key. Raises Refused (429) when it has made its calls. A limit of 0 lets none through."""
        if per_minute is None:
            return
        now = time.monotonic()
        bucket = self._buckets.get(prefix)
        if bucket is None or bucket.per_minute != per_minute:
            bucket = self._buckets[prefix] = Bucket(per_minute, now)
        wait = bucket.take(now) if per_minute else 60.0
        if wait:
            text = f"This key may make {per_minute} calls a minute. Try again later."
            raise Refused(429, "rate_limited", text, {"Retry-After": str(math.ceil(wait))})

    def forget_full(self) -> None:
        """Drop the buckets that have filled up again: a key that is used no more takes no memory."""
        now = time.monotonic()
        full = [p for p, b in self._buckets.items() if b.tokens + (now - b.at) * b.per_minute / 60 >= b.per_minute]
        for prefix in full:
            del self._buckets[prefix]
