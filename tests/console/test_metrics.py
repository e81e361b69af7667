"""What Prometheus reads at /metrics, and who may read it."""

from datetime import timedelta

import pytest
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families

from endpoints import rollup, statistics
from endpoints.models import Stage, StageResource
from endpoints.statistics import Call
from training import heartbeats, lifecycle
from training.models import Training

pytestmark = pytest.mark.django_db


@pytest.fixture
def stage(endpoint) -> Stage:
    return endpoint.default_stage


def scrape(client) -> dict[str, dict[tuple[str, ...], float]]:
    """{sample: {values of its labels, sorted by the labels' names: value}}"""
    answer = client.get("/metrics")
    assert (answer.status_code, answer.headers["Content-Type"].partition(";")[0]) == (200, "text/plain")
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(answer.content.decode()):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sample.labels[name] for name in sorted(sample.labels))] = (
                sample.value
            )
    return found


def call(stage: Stage, status: int = 200, milliseconds: float = 10, **more) -> Call:
    return Call(stage.pk, timezone.now(), "/inference", status, milliseconds, **more)


def test_a_stage_is_counted_by_class_of_status_with_its_times_bytes_and_batches(client, stage):
    statistics.write([call(stage, 200, 10, bytes_in=100, bytes_out=20, batch_size=4)] * 3)
    statistics.write([call(stage, 429, 1), call(stage, 404, 1), call(stage, 503, 3000, batch_size=1)])
    found, this = scrape(client), (stage.endpoint.name, stage.name, stage.pk)
    assert found["console_stage_requests_total"] == {
        ("2xx", *this): 3,
        ("4xx", *this): 2,
        ("5xx", *this): 1,
    }
    assert found["console_stage_request_bytes_total"] == {this: 300}
    assert found["console_stage_response_bytes_total"] == {this: 60}
    assert (found["console_stage_batch_size_sum"], found["console_stage_batch_size_count"]) == ({this: 13}, {this: 4})
    assert found["console_stage_request_duration_seconds_count"] == {this: 6}
    assert found["console_stage_request_duration_seconds_sum"][this] == pytest.approx(3.032, rel=0.15)
    buckets = {
        float(le): n for (_endpoint, le, *_rest), n in found["console_stage_request_duration_seconds_bucket"].items()
    }
    assert [max(n for le, n in buckets.items() if le < seconds) for seconds in (0.009, 0.02, 2, 10)] == [2, 5, 5, 6]
    assert buckets[float("inf")] == 6


def test_a_stage_without_calls_has_its_counters_at_zero(client, stage):
    assert set(scrape(client)["console_stage_requests_total"].values()) == {0}


def test_counters_do_not_fall_when_old_minutes_and_hours_are_removed(client, stage, settings):
    old = timezone.now() - timedelta(days=settings.STAGE_STATISTICS_DAYS + 1)
    statistics.write([Call(stage.pk, old, "/inference", 200, 10), call(stage)])
    rollup.prune()
    assert stage.minutes.count() == 1
    rollup.mend()
    assert sum(scrape(client)["console_stage_requests_total"].values()) == 2


def test_calls_in_flight_engines_and_replacements(client, stage, model):
    StageResource.objects.filter(stage=stage).update(sockets=["a.sock", "b.sock"])
    lifecycle.record(stage, "engine_replaced")
    statistics.in_flight[stage.pk] += 2
    try:
        found, this = scrape(client), (stage.endpoint.name, stage.name, stage.pk)
    finally:
        del statistics.in_flight[stage.pk]
    assert found["console_stage_requests_in_flight"] == {this: 2}
    assert found["console_stage_active"] == {this: 1}
    assert found["console_stage_ready_engines"] == {(this[0], "/inference", *this[1:]): 2}
    assert found["console_stage_engines_replaced_total"] == {this: 1}


def test_trainings_queues_and_heartbeats(client, home, project):
    Training.objects.create(project=project, name="cats", algorithm="image_classification", status="RUNNING")
    heartbeats.beat("stages")
    found = scrape(client)
    assert found["console_trainings"][("RUNNING",)] == 1
    assert found["console_trainings"][("COMPLETE",)] == 0
    assert found["console_queue_length"] == {("default",): 0, ("training",): 0}
    [((host, process), age)] = found["console_heartbeat_age_seconds"].items()
    assert (host, process) == (heartbeats.host_name(), "stage_supervisor")
    assert 0 <= age < 60


def test_it_is_told_to_programs_of_this_machine_only(client):
    assert client.get("/metrics", REMOTE_ADDR="::1").status_code == 200
    assert client.get("/metrics", REMOTE_ADDR="::ffff:127.0.0.1").status_code == 200
    assert client.get("/metrics", REMOTE_ADDR="10.0.0.7").status_code == 404
    assert client.get("/metrics", REMOTE_ADDR="").status_code == 404


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "X-Real-IP", "Via"])
def test_a_proxy_on_this_machine_does_not_open_it_to_the_public(client, header):
    assert client.get("/metrics", headers={header: "127.0.0.1"}).status_code == 404


def test_where_a_token_is_set_it_is_needed_and_enough(client, settings):
    settings.METRICS_TOKEN = "s3cret-token"
    assert client.get("/metrics").status_code == 404
    assert client.get("/metrics", headers={"Authorization": "Bearer s3cret"}).status_code == 404
    assert client.get("/metrics", headers={"Authorization": "s3cret-token"}).status_code == 404
    right = {"Authorization": "Bearer s3cret-token", "X-Forwarded-For": "203.0.113.9"}
    assert client.get("/metrics", headers=right, REMOTE_ADDR="203.0.113.9").status_code == 200


def test_nothing_is_changed_there(client):
    assert client.post("/metrics").status_code == 405
