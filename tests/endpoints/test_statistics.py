"""Calls become minutes and percentiles; nothing is lost or counted twice."""

from datetime import datetime, timedelta

import numpy as np
import pytest
from django.db import DatabaseError
from django.utils import timezone

from endpoints import records, services, statistics
from endpoints.models import RequestRecord, Stage, StageMinute
from endpoints.statistics import Call, Recorder, bound, percentile

pytestmark = pytest.mark.django_db


@pytest.fixture
def stage(project, people, model) -> Stage:
    endpoint, _ = services.endpoint_create(project=project, user=people.owner, name="signs", model=model)
    return endpoint.default_stage


def call(stage: Stage, at: datetime | None = None, status: int = 200, milliseconds: float = 10, **more) -> Call:
    return Call(stage.pk, at or timezone.now(), "/inference", status, milliseconds, **more)


def test_percentiles_are_right_to_a_tenth():
    times = np.random.default_rng(7).lognormal(4, 1, 20_000)
    histogram: dict[str, int] = {}
    for time in times:
        histogram[bound(time)] = histogram.get(bound(time), 0) + 1
    assert len(histogram) < 60
    for share in (0.5, 0.95, 0.99):
        assert percentile(histogram, share) == pytest.approx(np.quantile(times, share), rel=0.1)


def test_one_call_has_one_time():
    """Not a p50 of 98 ms and a p99 of 108."""
    times = {percentile({bound(103.0): 1}, share) for share in (0.5, 0.95, 0.99)}
    assert len(times) == 1
    assert times.pop() == pytest.approx(103, rel=0.12)


def test_no_calls_have_no_percentile(stage):
    assert percentile({}, 0.5) is None
    assert services.stage_statistics(stage)["p95"] is None


def test_calls_add_up_over_several_writes(stage):
    now = timezone.now().replace(second=0, microsecond=0)
    recorder = Recorder()
    for status in (200, 200, 404, 503):
        recorder.add(call(stage, now, status, bytes_in=100, bytes_out=7))
        recorder.flush()
    recorder.add(call(stage, now - timedelta(minutes=1), 200))
    recorder.add(call(stage, now - timedelta(hours=2), 200))
    recorder.flush()
    figures = services.stage_statistics(stage)
    assert (figures["calls"], figures["succeeded"], figures["client_errors"], figures["server_errors"]) == (5, 3, 1, 1)
    assert (figures["bytes_in"], figures["bytes_out"]) == (400, 28)
    assert [row["calls"] for row in figures["minutes"]] == [1, 4]
    assert figures["minutes"][1]["minute"] == now
    assert services.stage_statistics(stage, hours=3)["calls"] == 6


def test_only_the_newest_calls_are_kept_one_by_one(stage):
    now = timezone.now()
    for part in range(3):
        calls = [call(stage, now + timedelta(milliseconds=100 * part + i), milliseconds=i) for i in range(100)]
        statistics.write(calls)
    assert RequestRecord.objects.count() == records.RECENT
    rows = services.stage_statistics(stage)["requests"]
    assert rows[0].milliseconds == 99
    assert sum(row.calls for row in StageMinute.objects.all()) == 300


def test_errors_can_be_found_however_many_calls_succeed_after_them(stage):
    now = timezone.now()
    statistics.write([call(stage, now, 503, error="out of memory")])
    statistics.write([call(stage, now + timedelta(seconds=1)) for _ in range(records.RECENT + 50)])
    assert [row.error for row in records.recent(stage, "5xx")] == ["out of memory"]
    assert records.recent(stage, "2xx").count() == records.RECENT
    assert not records.recent(stage, "4xx")


def test_a_text_that_no_database_takes_does_not_stop_the_counting(stage):
    statistics.write([call(stage, status=400, error="unknown parameter \x00\ud800")])
    assert records.recent(stage).get().error == "unknown parameter ?"


def test_the_mean_batch_size_is_that_of_the_calls_whose_engine_told_it(stage):
    statistics.write([call(stage, batch_size=size) for size in (1, 4, 4)] + [call(stage, status=401)])
    figures = services.stage_statistics(stage)
    assert (figures["batch_size"], figures["minutes"][0]["batch_size"]) == (3, 3)
    assert [row.batch_size for row in figures["requests"]].count(None) == 1


def test_calls_of_a_deleted_stage_are_dropped_and_the_others_written(stage):
    gone = Stage(pk="gone", endpoint=stage.endpoint)
    statistics.write([call(gone), call(stage)])
    assert services.stage_statistics(stage)["calls"] == 1


def test_what_cannot_be_written_is_kept_for_the_next_time(stage):
    away = [True]

    def write(calls: list[Call]) -> None:
        if away:
            raise DatabaseError(away.pop())
        statistics.write(calls)

    recorder = Recorder(write)
    recorder.add(call(stage))
    with pytest.raises(DatabaseError):
        recorder.flush()
    recorder.add(call(stage))
    recorder.flush()
    recorder.flush()
    assert services.stage_statistics(stage)["calls"] == 2


def test_while_the_database_is_away_the_oldest_calls_are_given_up(stage):
    taken: list[Call] = []
    away = [True]

    def write(calls: list[Call]) -> None:
        if away:
            raise DatabaseError(away.pop())
        taken.extend(calls)

    recorder = Recorder(write)
    one = call(stage)
    for _ in range(100_000):
        recorder.add(one)
    with pytest.raises(DatabaseError):
        recorder.flush()
    recorder.add(call(stage, status=503))
    recorder.flush()
    assert (len(taken), taken[-1].status) == (100_000, 503)
