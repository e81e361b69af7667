"""The calls of a stage: counted in the web process, and written to the rows that charts and metrics are made of.

One write is one transaction: a call is in the row of its minute, in that of its hour and in the stage's total, or in
none of them, whenever the process is killed. `endpoints.figures` reads the rows.
"""

import logging
import math
import threading
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import transaction

from endpoints import kept_images, records
from endpoints.models import EndpointKey, Figures, Stage, StageHour, StageMinute

log = logging.getLogger(__name__)

GROWTH = 1.25  # of the histogram's bounds: a percentile is right to about a tenth, in forty numbers a minute
HELD_BYTES = 32 * 2**20  # of bodies that wait to be written; a call beyond it is counted without its image
# Rows of StageHour before this are no hours: together they hold every call since the stage was made, for counters that
# must never fall. One is begun after another is full, because a column of PostgreSQL ends at 2^31.
TOTALS_BEFORE = datetime(1971, 1, 1, tzinfo=UTC)
TOTAL = datetime(1970, 1, 1, tzinfo=UTC)
FULL = 2**30

# Calls that this process answers at the moment, by the stage's id: the stage URL counts them, /metrics shows them.
in_flight: Counter[str] = Counter()


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
class Sums:
    """The sums of some calls, as a row of Figures has them."""

    counts: Counter[str] = field(default_factory=Counter)
    latencies: Counter[str] = field(default_factory=Counter)

    def add(self, call: Call) -> None:
        self.counts.update(calls=1, bytes_in=call.bytes_in, bytes_out=call.bytes_out)
        kind = "succeeded" if call.status < 400 else "client_errors" if call.status < 500 else "server_errors"
        self.counts[kind] += 1
        if call.batch_size:
            self.counts.update(batch_calls=1, batch_total=call.batch_size)
        self.latencies[bound(call.milliseconds)] += 1

    def add_row(self, row: Figures) -> None:
        self.counts.update({name: getattr(row, name) for name in COUNTS})
        self.latencies.update(row.latencies)


COUNTS = (
    "calls", "succeeded", "client_errors", "server_errors", "bytes_in", "bytes_out", "batch_total", "batch_calls",
)  # fmt: skip


def bound(milliseconds: float) -> str:
    """The histogram's upper bound for a time: the next power of GROWTH, as the row's JSON key."""
    exponent = math.ceil(math.log(max(milliseconds, 0.1)) / math.log(GROWTH))
    return f"{GROWTH**exponent:.4g}"


def percentile(latencies: Mapping[str, int], share: float) -> float | None:
    """The time in ms of the call that `share` (0 to 1) of all calls were as quick as; None without calls.

    A bucket's calls are taken as evenly spread within it: one alone lies in its middle.
    """
    buckets = sorted((float(upper), n) for upper, n in latencies.items() if n)
    wanted = max(1, math.ceil(share * sum(n for _, n in buckets)))
    seen = 0
    for upper, n in buckets:
        if seen + n >= wanted:
            lower = upper / GROWTH
            return round(lower + (upper - lower) * (wanted - seen - 0.5) / n, 2)
        seen += n
    return None


def write(calls: list[Call]) -> None:
    """Add `calls` to the rows. Those of a stage that is gone by now are dropped."""
    images = kept_images.reduced(calls)  # it takes its time: before the transaction, which others wait for
    with transaction.atomic():
        _write(calls, images)


def _write(calls: list[Call], images: dict[int, bytes]) -> None:
    """`images`: small JPEGs by the place of their call."""
    # Whoever deletes a stage, or switches its keeping off, comes before or after this, not between.
    stages = Stage.objects.filter(pk__in={call.stage_id for call in calls}).select_for_update(no_key=True)
    keeps = dict(stages.values_list("pk", "keep_images"))
    of_stage: dict[str, list[tuple[Call, str]]] = {}
    for place, call in enumerate(calls):
        if call.stage_id in keeps:
            keep = keeps[call.stage_id] and place in images
            name = kept_images.keep(call.stage_id, images[place]) if keep else ""
            of_stage.setdefault(call.stage_id, []).append((call, name))
    for stage_id, rows in of_stage.items():
        _count(stage_id, [call for call, _name in rows])
        records.write(stage_id, rows)
    used = {call.key_prefix: call.at for call in calls if call.key_prefix}
    for prefix, at in used.items():
        EndpointKey.objects.filter(prefix=prefix).update(last_used_at=at)


def _count(stage_id: str, calls: list[Call]) -> None:
    """Into the rows of the minutes, the hours and the total."""
    total, hours, minutes = Sums(), dict[datetime, Sums](), dict[datetime, Sums]()
    for call in calls:
        minute = call.at.replace(second=0, microsecond=0)
        for sums in (
            total,
            hours.setdefault(hour_of(minute), Sums()),
            minutes.setdefault(minute, Sums()),
        ):
            sums.add(call)
    for minute, sums in minutes.items():
        row: Figures = StageMinute.objects.select_for_update().get_or_create(stage_id=stage_id, minute=minute)[0]
        _add(row, sums)
    for hour, sums in (*hours.items(), (_total_row(stage_id), total)):
        _add(StageHour.objects.select_for_update().get_or_create(stage_id=stage_id, hour=hour)[0], sums)


def hour_of(at: datetime) -> datetime:
    """The start of the hour, of UTC, that `at` is in."""
    return at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def _total_row(stage_id: str) -> datetime:
    """The "hour" of the total's row that is not full yet."""
    newest = StageHour.objects.filter(stage_id=stage_id, hour__lt=TOTALS_BEFORE).order_by("-hour").first()
    if newest is None:
        return TOTAL
    full = max(newest.calls, newest.batch_total) > FULL
    return newest.hour + timedelta(hours=1) if full else newest.hour


def _add(row: Figures, sums: Sums) -> None:
    for name, value in sums.counts.items():
        setattr(row, name, getattr(row, name) + value)
    row.latencies = dict(Counter(row.latencies) + sums.latencies)
    row.save()


class Recorder:
    """Collects calls in memory. `flush()` writes them; what could not be written is kept for the next flush."""

    def __init__(self, write: Callable[[list[Call]], None] = write) -> None:
        self._write = write
        self._lock = threading.Lock()
        self._calls: deque[Call] = deque(maxlen=100_000)  # a database that is away must not fill the memory
        self._held = 0

    def add(self, call: Call) -> None:
        with self._lock:
            if self._held + len(call.body) > HELD_BYTES:
                call = replace(call, body=b"")
            self._held += len(call.body)
            self._calls.append(call)

    def flush(self) -> None:
        with self._lock:
            calls, self._held = list(self._calls), 0
            self._calls.clear()
        if not calls:
            return
        try:
            self._write(calls)
        except Exception:
            with self._lock:
                older = [replace(call, body=b"") for call in calls]
                self._calls = deque([*older, *self._calls], self._calls.maxlen)  # when it is full, the oldest go
            raise


def summary(rows: list[Any]) -> dict[str, Any]:
    """The figures of rows of Figures, or Sums, taken together: counts, "p50", "p95", "p99" in ms, mean "batch_size".

    None stands for a percentile without calls, and for a batch size that no engine told.
    """
    sums = Sums()
    for row in rows:
        sums.add_row(row)
    batches = sums.counts["batch_calls"]
    return {
        **{name: sums.counts[name] for name in COUNTS[:6]},
        **{f"p{share}": percentile(sums.latencies, share / 100) for share in (50, 95, 99)},
        "batch_size": round(sums.counts["batch_total"] / batches, 2) if batches else None,
    }
