"""Hours and totals out of minutes, and what is too old to be kept.

Every write adds to minute, hour and total in one transaction (`endpoints.statistics`). Here they are derived anew where
they do not agree: after an update from a console that counted minutes only.
"""

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet, Sum
from django.db.models.functions import TruncHour
from django.utils import timezone

from endpoints.models import Stage, StageHour, StageMinute
from endpoints.statistics import COUNTS, TOTAL, TOTALS_BEFORE, Sums, hour_of


def prune() -> None:
    """Remove the minutes and hours that are older than STAGE_STATISTICS_DAYS; whole hours, so that both still agree."""
    cut = hour_of(timezone.now() - timedelta(days=settings.STAGE_STATISTICS_DAYS))
    StageMinute.objects.filter(minute__lt=cut).delete()
    StageHour.objects.filter(hour__gte=TOTALS_BEFORE, hour__lt=cut).delete()


def mend() -> None:
    """Make hours and totals say what the minutes say. A second time it changes nothing, and is quick."""
    minutes = _calls_by_stage(StageMinute.objects.all())
    hours = _calls_by_stage(StageHour.objects.filter(hour__gte=TOTALS_BEFORE))
    for stage_id in Stage.objects.values_list("pk", flat=True):
        if minutes.get(stage_id) != hours.get(stage_id):
            _mend_hours(stage_id)
        _raise_total(stage_id)


def _calls_by_stage(rows: QuerySet[Any]) -> dict[str, int]:
    return dict(rows.order_by().values_list("stage").annotate(Sum("calls")))


def _mend_hours(stage_id: str) -> None:
    hours = dict(StageHour.objects.filter(stage_id=stage_id).values_list("hour", "calls"))
    minutes = StageMinute.objects.filter(stage_id=stage_id).annotate(hour=TruncHour("minute", tzinfo=UTC))
    for hour, calls in minutes.order_by().values_list("hour").annotate(Sum("calls")):
        if hours.get(hour) != calls:
            _derive_hour(stage_id, hour)


@transaction.atomic
def _derive_hour(stage_id: str, hour: datetime) -> None:
    if not Stage.objects.filter(pk=stage_id).exists():
        return
    row = StageHour.objects.select_for_update().get_or_create(stage_id=stage_id, hour=hour)[0]
    minutes = StageMinute.objects.filter(stage_id=stage_id, minute__gte=hour, minute__lt=hour + timedelta(hours=1))
    sums = _sums(minutes)
    for name in COUNTS:
        setattr(row, name, sums.counts[name])
    row.latencies = dict(sums.latencies)
    row.save()


@transaction.atomic
def _raise_total(stage_id: str) -> None:
    """At least what the kept hours add up to. It is never lowered: hours are pruned, a counter must not fall."""
    StageHour.objects.get_or_create(stage_id=stage_id, hour=TOTAL)
    rows = list(StageHour.objects.select_for_update().filter(stage_id=stage_id, hour__lt=TOTALS_BEFORE))
    hours = _sums(StageHour.objects.filter(stage_id=stage_id, hour__gte=TOTALS_BEFORE))
    total = _sums(rows)
    if total.counts["calls"] >= hours.counts["calls"]:
        return
    row = max(rows, key=lambda one: one.hour)
    for name in COUNTS:
        setattr(row, name, getattr(row, name) + max(0, hours.counts[name] - total.counts[name]))
    row.latencies = dict(Counter(row.latencies) + (hours.latencies - total.latencies))
    row.save()


def _sums(rows: Any) -> Sums:
    sums = Sums()
    for row in rows:
        sums.add_row(row)
    return sums
