"""The calls of a stage: counted in the web process, kept a minute a row, read by the stage page."""

import logging
import math
import threading
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from endpoints.models import EndpointKey, RequestRecord, Stage, StageMinute

log = logging.getLogger(__name__)

GROWTH = 1.25  # of the histogram's bounds: a percentile is right to about a tenth, in forty numbers a minute
RECENT = 200  # calls of a stage that are kept one by one


@dataclass(frozen=True)
class Call:
    """One answered call. `milliseconds` from the first byte of the request to the last one of the answer.

    `batch_size`: images that were computed together with it, None when the engine said nothing. `body` as it was sent,
    of the type `content_type`: only of a stage that keeps images, else empty.
    """

    stage_id: str
    at: datetime
    path: str
    status: int
    milliseconds: float
    bytes_in: int = 0
    bytes_out: int = 0
    key_prefix: str = ""
    error: str = ""
    batch_size: int | None = None
    body: bytes = b""
    content_type: str = ""


@dataclass
class Minute:
    """The sums of one stage's calls in one minute."""

    counts: Counter[str] = field(default_factory=Counter)
    latencies: Counter[str] = field(default_factory=Counter)

    def add(self, call: Call) -> None:
        self.counts.update(calls=1, bytes_in=call.bytes_in, bytes_out=call.bytes_out)
        kind = "succeeded" if call.status < 400 else "client_errors" if call.status < 500 else "server_errors"
        self.counts[kind] += 1
        self.latencies[bound(call.milliseconds)] += 1


def bound(milliseconds: float) -> str:
    """The histogram's upper bound for a time: the next power of GROWTH, as the row's JSON key."""
    exponent = math.ceil(math.log(max(milliseconds, 0.1)) / math.log(GROWTH))
    return f"{GROWTH**exponent:.4g}"


def percentile(latencies: Mapping[str, int], share: float) -> float | None:
    """The time in ms that `share` (0 to 1) of the calls stayed under; None without calls.

    A bucket's calls are taken as evenly spread within it.
    """
    buckets = sorted((float(upper), n) for upper, n in latencies.items() if n)
    wanted = share * sum(n for _, n in buckets)
    seen = 0
    for upper, n in buckets:
        if seen + n >= wanted:
            lower = upper / GROWTH
            return round(lower + (upper - lower) * (wanted - seen) / n, 2)
        seen += n
    return None


@transaction.atomic
def write(calls: list[Call]) -> None:
    """Add `calls` to the rows. Those of a stage that is gone by now are dropped."""
    known = set(Stage.objects.filter(pk__in={call.stage_id for call in calls}).values_list("pk", flat=True))
    minutes: dict[tuple[str, datetime], Minute] = {}
    recent: dict[str, deque[Call]] = {}
    for call in calls:
        if call.stage_id in known:
            key = (call.stage_id, call.at.replace(second=0, microsecond=0))
            minutes.setdefault(key, Minute()).add(call)
            recent.setdefault(call.stage_id, deque(maxlen=RECENT)).append(call)
    for (stage_id, minute), sums in minutes.items():
        _write_minute(stage_id, minute, sums)
    for stage_id, newest in recent.items():
        _write_recent(stage_id, newest)
    used = {call.key_prefix: call.at for call in calls if call.key_prefix}
    for prefix, at in used.items():
        EndpointKey.objects.filter(prefix=prefix).update(last_used_at=at)


def _write_minute(stage_id: str, minute: datetime, sums: Minute) -> None:
    row, _ = StageMinute.objects.select_for_update().get_or_create(stage_id=stage_id, minute=minute)
    for name, value in sums.counts.items():
        setattr(row, name, getattr(row, name) + value)
    row.latencies = dict(Counter(row.latencies) + sums.latencies)
    row.save()


def _write_recent(stage_id: str, newest: deque[Call]) -> None:
    RequestRecord.objects.bulk_create(
        RequestRecord(
            stage_id=stage_id,
            at=call.at,
            path=call.path[:120],
            status=call.status,
            milliseconds=round(call.milliseconds, 2),
            bytes_in=call.bytes_in,
            key_prefix=call.key_prefix,
            error=call.error[:200],
        )
        for call in newest
    )
    kept = RequestRecord.objects.filter(stage_id=stage_id).order_by("-at", "-pk").values_list("pk", flat=True)[:RECENT]
    RequestRecord.objects.filter(stage_id=stage_id).exclude(pk__in=list(kept)).delete()


class Recorder:
    """Collects calls in memory. `flush()` writes them; what could not be written is kept for the next flush."""

    def __init__(self, write: Callable[[list[Call]], None] = write) -> None:
        self._write = write
        self._lock = threading.Lock()
        self._calls: list[Call] = []

    def add(self, call: Call) -> None:
        with self._lock:
            self._calls.append(call)

    def flush(self) -> None:
        with self._lock:
            calls, self._calls = self._calls, []
        if not calls:
            return
        try:
            self._write(calls)
        except Exception:
            with self._lock:
                self._calls = (calls + self._calls)[-100_000:]  # a database that is away must not fill the memory
            raise


def stage_statistics(stage: Stage, hours: int = 1) -> dict[str, Any]:
    """What the stage did in the last `hours`.

    -> {"calls", "succeeded", "client_errors", "server_errors", "bytes_in", "bytes_out", "p50", "p95", "p99" (ms, None
    without calls), "minutes": [the same for each minute with calls, and "minute"], "requests": [newest first]}.
    """
    rows = list(stage.minutes.filter(minute__gte=timezone.now() - timedelta(hours=hours)))
    fields = ("at", "path", "status", "milliseconds", "bytes_in", "key_prefix", "error")
    return {
        **_summary(rows),
        "minutes": [{"minute": row.minute, **_summary([row])} for row in rows],
        "requests": list(stage.requests.values(*fields)[:RECENT]),
    }


def _summary(rows: list[StageMinute]) -> dict[str, Any]:
    counts = ("calls", "succeeded", "client_errors", "server_errors", "bytes_in", "bytes_out")
    latencies = sum((Counter(row.latencies) for row in rows), Counter())
    return {
        **{name: sum(getattr(row, name) for row in rows) for name in counts},
        **{f"p{share}": percentile(latencies, share / 100) for share in (50, 95, 99)},
    }
