"""What /metrics says, as Prometheus metrics. Derived from the database and the heartbeat files when it is asked for.

So any web process answers the same, and a counter goes on where it was after a restart: totals of calls are the rows of
`endpoints.statistics` that are never pruned. Only the calls in flight are those of the process that answers.
"""

import logging
import math
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings
from django.db.models import Count
from django_q.brokers import get_broker
from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
    SummaryMetricFamily,
)
from prometheus_client.registry import Collector
from redis import RedisError

from endpoints.models import Stage, StageHour
from endpoints.statistics import GROWTH, TOTALS_BEFORE, Sums, in_flight
from training import queue
from training.models import Event, Training

log = logging.getLogger(__name__)

STAGE = ("endpoint", "stage", "stage_id")  # one series a stage: no label comes from a caller
CODES = {"2xx": "succeeded", "4xx": "client_errors", "5xx": "server_errors"}
# Every third bound of the rows' histograms, from 1 ms to 88 s, so that no call has to be guessed into a bucket.
BUCKETS = tuple(GROWTH**exponent for exponent in range(0, 52, 3))
HEARTBEATS = {"default": "worker", "training": "trainer_worker", "stages": "stage_supervisor"}


class ConsoleCollector(Collector):
    """Asks anew at each scrape."""

    def collect(self) -> Iterator[Metric]:
        yield from _stages()
        yield _trainings()
        yield _queues()
        yield _heartbeats()


registry = CollectorRegistry(auto_describe=False)
registry.register(ConsoleCollector())


def _stages() -> Iterator[Metric]:
    requests = CounterMetricFamily(
        "console_stage_requests", "Calls of a stage, by class of status.", labels=(*STAGE, "code")
    )
    duration = HistogramMetricFamily(
        "console_stage_request_duration_seconds",
        "From the first byte of a call to the last one of its answer. The sum is estimated from the buckets.",
        labels=STAGE,
    )
    batches = SummaryMetricFamily(
        "console_stage_batch_size", "Images that were computed together with those of a call.", labels=STAGE
    )
    sent = CounterMetricFamily("console_stage_request_bytes", "Bytes of the calls' bodies.", labels=STAGE)
    answered = CounterMetricFamily("console_stage_response_bytes", "Bytes of the answers' bodies.", labels=STAGE)
    flying = GaugeMetricFamily(
        "console_stage_requests_in_flight", "Calls that the asked web process answers now.", labels=STAGE
    )
    active = GaugeMetricFamily("console_stage_active", "1: the stage is ACTIVE.", labels=STAGE)
    ready = GaugeMetricFamily("console_stage_ready_engines", "Engines that answer.", labels=(*STAGE, "resource"))
    replaced = CounterMetricFamily(
        "console_stage_engines_replaced", "Engines that died or hung and were replaced.", labels=STAGE
    )
    totals, restarts = _totals(), _replaced()
    for stage in Stage.objects.select_related("endpoint").prefetch_related("resources"):
        labels, sums = (stage.endpoint.name, stage.name, stage.pk), totals.get(stage.pk, Sums())
        for code, name in CODES.items():
            requests.add_metric((*labels, code), sums.counts[name])
        duration.add_metric(labels, *_histogram(sums.latencies))
        batches.add_metric(labels, sums.counts["batch_calls"], sums.counts["batch_total"])
        sent.add_metric(labels, sums.counts["bytes_in"])
        answered.add_metric(labels, sums.counts["bytes_out"])
        flying.add_metric(labels, in_flight[stage.pk])
        active.add_metric(labels, stage.status == Stage.Status.ACTIVE)
        for resource in stage.resources.all():
            ready.add_metric((*labels, resource.path), len(resource.sockets))
        replaced.add_metric(labels, restarts.get(stage.pk, 0))
    yield from (requests, duration, batches, sent, answered, flying, active, ready, replaced)


def _totals() -> dict[str, Sums]:
    """All calls of each stage since it was made."""
    totals: dict[str, Sums] = {}
    for row in StageHour.objects.filter(hour__lt=TOTALS_BEFORE):
        totals.setdefault(row.stage_id, Sums()).add_row(row)
    return totals


def _replaced() -> dict[str, int]:
    rows = Event.objects.filter(kind="stage", to_status="engine_replaced").order_by().values("object_id")
    return {row["object_id"]: row["n"] for row in rows.annotate(n=Count("pk"))}


def _histogram(latencies: Counter[str]) -> tuple[list[tuple[str, float]], float]:
    """-> ([(upper bound in seconds, calls up to it)], about the sum of all times in seconds)."""
    times = [(float(upper), n) for upper, n in latencies.items()]
    buckets = [
        (f"{bound / 1000:.4g}", float(sum(n for upper, n in times if upper <= bound * 1.01))) for bound in BUCKETS
    ]
    total = sum(n * upper / math.sqrt(GROWTH) for upper, n in times) / 1000
    return [*buckets, ("+Inf", float(sum(n for _upper, n in times)))], total


def _trainings() -> Metric:
    found = Counter(dict(Training.objects.order_by().values_list("status").annotate(Count("pk"))))
    family = GaugeMetricFamily("console_trainings", "Trainings by status.", labels=("status",))
    for status in Training.Status.values:
        family.add_metric((status,), found[status])
    return family


def _queues() -> Metric:
    family = GaugeMetricFamily("console_queue_length", "Tasks that no worker has taken yet.", labels=("queue",))
    for name in ("default", queue.CLUSTER):
        try:
            family.add_metric((name,), int(get_broker(name).queue_size()))
        except RedisError as error:  # what else is known is still worth telling
            log.warning("The length of the queue %s is not known: %s", name, error)
    return family


def _heartbeats() -> Metric:
    """A process that ends leaves its file, so the age goes on growing."""
    family = GaugeMetricFamily(
        "console_heartbeat_age_seconds", "Since a process last gave a sign of life.", labels=("process", "host")
    )
    for name, process in HEARTBEATS.items():
        for file in Path(settings.RUN_FOLDER).glob(f"{name}@*.heartbeat"):
            try:
                age = time.time() - file.stat().st_mtime
            except FileNotFoundError:
                continue
            family.add_metric((process, file.stem.partition("@")[2]), max(0.0, age))
    return family
