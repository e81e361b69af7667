"""What the rows of a stage's statistics say about a period: sums for the page, steps for its charts."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any

from django.utils import timezone

from endpoints import records
from endpoints.models import Figures, Stage
from endpoints.statistics import summary

DAY = 86400


@dataclass(frozen=True)
class Period:
    """The last `steps` times `step` seconds; the running step is the last of them. A day is one of the site's zone."""

    step: int
    steps: int

    def start(self, at: datetime) -> datetime:
        """Of the step that `at` is in."""
        if self.step == DAY:
            return timezone.localtime(at).replace(hour=0, minute=0, second=0, microsecond=0)
        return datetime.fromtimestamp(at.timestamp() // self.step * self.step, UTC)

    def since(self, now: datetime) -> datetime:
        if self.step == DAY:
            return self.start(now) - timedelta(days=self.steps - 1)  # of the clock on the wall, also over a summer time
        return self.start(now) - timedelta(seconds=self.step * (self.steps - 1))


PERIODS = {
    "hour": Period(60, 60),
    "day": Period(15 * 60, 96),
    "week": Period(3600, 7 * 24),
    "quarter": Period(DAY, 90),
}


def stage_figures(stage: Stage, hours: int = 1, period: str = "") -> dict[str, Any]:
    """What the stage did in the last `hours`, by the minute, or in a `period` of PERIODS, by its steps.

    -> {"calls", "succeeded", "client_errors", "server_errors", "bytes_in", "bytes_out", "p50", "p95", "p99" (ms, None
    without calls), "batch_size" (the mean; None when unknown), "since", "until", "step_seconds", "minutes": [the same
    for each minute or step with calls, and "minute", when it begins]}.
    """
    now, chosen = timezone.now(), PERIODS[period] if period else Period(60, hours * 60)
    since = chosen.since(now) if period else now - timedelta(hours=hours)
    rows = _rows(stage, since, chosen.step)
    steps = groupby(rows, key=lambda pair: chosen.start(pair[0]))
    return {
        **summary([row for _at, row in rows]),
        "since": since,
        "until": now,
        "step_seconds": chosen.step,
        "minutes": [{"minute": at, **summary([row for _at, row in group])} for at, group in steps],
    }


def stage_statistics(stage: Stage, hours: int = 1, period: str = "") -> dict[str, Any]:
    """`stage_figures`, and the "requests" that are kept one by one, newest first."""
    return {**stage_figures(stage, hours, period), "requests": list(records.recent(stage)[: records.RECENT])}


def _rows(stage: Stage, since: datetime, step: int) -> list[tuple[datetime, Figures]]:
    """(when it begins, row) in order: hours where a step holds whole ones, else minutes."""
    if step >= 3600:
        return [(row.hour, row) for row in stage.hours.filter(hour__gte=since)]
    return [(row.minute, row) for row in stage.minutes.filter(minute__gte=since)]
