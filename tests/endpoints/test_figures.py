"""Periods and their steps: each call is in one of them, and minutes, hours and totals say the same."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.utils import timezone

from endpoints import figures, rollup, services, statistics
from endpoints.figures import PERIODS, stage_figures
from endpoints.models import Stage, StageHour, StageMinute
from endpoints.statistics import TOTAL, TOTALS_BEFORE, Call, hour_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def stage(project, people, model) -> Stage:
    endpoint, _ = services.endpoint_create(project=project, user=people.owner, name="signs", model=model)
    return endpoint.default_stage


def call(stage: Stage, at: datetime, status: int = 200, **more) -> Call:
    return Call(stage.pk, at, "/inference", status, 12, **more)


def total(stage: Stage) -> int:
    return sum(row.calls for row in stage.hours.filter(hour__lt=TOTALS_BEFORE))


@pytest.mark.parametrize(
    ("period", "step", "inside", "outside"),
    [
        ("hour", 60, timedelta(minutes=58), timedelta(minutes=61)),
        ("day", 900, timedelta(hours=23, minutes=44), timedelta(hours=24, minutes=1)),
        ("week", 3600, timedelta(days=6, hours=22), timedelta(days=7, hours=1)),
        ("quarter", 86400, timedelta(days=88), timedelta(days=90, hours=1)),
    ],
)
def test_a_period_has_the_calls_of_its_time_by_its_steps(stage, period, step, inside, outside):
    now = timezone.now()
    statistics.write([call(stage, now - ago) for ago in (timedelta(0), inside, outside)])
    found = stage_figures(stage, period=period)
    assert (found["calls"], found["step_seconds"]) == (2, step)
    assert [row["calls"] for row in found["minutes"]] == [1, 1]
    for row, at in zip(found["minutes"], (now - inside, now), strict=True):
        assert row["minute"] <= at < row["minute"] + timedelta(seconds=step + 3600 * (step == 86400))


def test_a_day_is_one_of_the_sites_time_zone_also_when_the_clocks_change(stage, settings):
    settings.TIME_ZONE = "Europe/Berlin"
    berlin = ZoneInfo("Europe/Berlin")
    with timezone.override(berlin):
        quarter = PERIODS["quarter"]
        now = datetime(2026, 4, 2, 12, tzinfo=berlin)
        assert quarter.start(datetime(2026, 3, 28, 23, 30, tzinfo=UTC)) == datetime(2026, 3, 29, tzinfo=berlin)
        assert quarter.since(now) == datetime(2026, 1, 3, tzinfo=berlin)


def test_a_write_that_fails_counts_nothing_anywhere(stage):
    """Its last step cannot be done: no database takes such a text."""
    with pytest.raises(UnicodeEncodeError):
        statistics.write([call(stage, timezone.now(), key_prefix="\ud800")])
    assert not StageMinute.objects.exists()
    assert not StageHour.objects.exists()


def test_hours_and_totals_are_made_of_minutes_that_an_earlier_console_counted(stage):
    now = timezone.now()
    times = [now - timedelta(minutes=minutes) for minutes in (0, 1, 70, 3000)]
    statistics.write([call(stage, at, 200 + 300 * (at == now), bytes_in=7) for at in times])
    before = list(stage.hours.order_by("hour").values_list("hour", "calls", "server_errors", "bytes_in", "latencies"))
    stage.hours.all().delete()
    for _again in range(2):
        rollup.mend()
        after = stage.hours.order_by("hour").values_list("hour", "calls", "server_errors", "bytes_in", "latencies")
        assert list(after) == before
    assert total(stage) == 4


def test_an_hour_that_disagrees_with_its_minutes_is_derived_anew(stage):
    now = timezone.now()
    statistics.write([call(stage, now)] * 3)
    stage.hours.filter(hour=hour_of(now)).update(calls=2)
    rollup.mend()
    assert stage.hours.get(hour=hour_of(now)).calls == 3
    assert total(stage) == 3


def test_old_minutes_and_hours_go_but_not_the_total(stage, settings):
    settings.STAGE_STATISTICS_DAYS = 90
    now = timezone.now()
    statistics.write([call(stage, now - timedelta(days=days)) for days in (89, 91)])
    rollup.prune()
    rollup.mend()
    assert stage.minutes.count() == 1
    assert [row.calls for row in stage.hours.filter(hour__gte=TOTALS_BEFORE)] == [1]
    assert total(stage) == 2


def test_a_total_that_is_full_goes_on_in_another_row(stage):
    statistics.write([call(stage, timezone.now())])
    stage.hours.filter(hour=TOTAL).update(batch_total=statistics.FULL + 1)
    statistics.write([call(stage, timezone.now(), batch_size=8)] * 2)
    rows = stage.hours.filter(hour__lt=TOTALS_BEFORE).order_by("hour")
    assert [row.calls for row in rows] == [1, 2]
    assert stage_figures(stage, period="quarter")["calls"] == 3
    assert figures.stage_statistics(stage, hours=1)["calls"] == 3
