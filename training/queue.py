"""Which training is next. The database decides; a task in the broker only wakes a free slot.

So a task that is lost with a killed worker, or delivered twice, can neither lose a training nor change
the order: a slot that wakes takes first what a dead runner left behind, then, of what waits, the highest priority
and of those the oldest. Of several hosts each takes only what it can run: see `fits_here`.
"""

import time
from collections import Counter
from collections.abc import Iterator

from django.db import transaction
from django.db.models import Q, QuerySet
from django_q.brokers import get_broker
from django_q.tasks import async_task

from training import gpus, heartbeats, lease
from training.models import Training

CLUSTER = "training"
PASS_SECONDS = 1.0


def waiting() -> "QuerySet[Training]":
    """The queued trainings, the next one first."""
    return Training.objects.filter(status="CREATE_REQUESTED").order_by("-priority", "created_at", "pk")


def position(training: Training) -> int:
    """1 is next, 0 when it is not queued."""
    if training.status != "CREATE_REQUESTED":
        return 0
    older = Q(created_at__lt=training.created_at) | Q(created_at=training.created_at, pk__lt=training.pk)
    before = Q(priority__gt=training.priority) | Q(older, priority=training.priority)
    return waiting().filter(before).count() + 1


def begun() -> "QuerySet[Training]":
    """Those that a slot has taken and that have not ended, oldest first."""
    statuses = [status for status in Training.UNFINISHED if status != "CREATE_REQUESTED"]
    return Training.objects.filter(status__in=statuses).order_by("created_at")


def abandoned() -> list[Training]:
    """Trainings that had begun and whose runner is gone, oldest first."""
    return [training for training in begun() if not lease.held(training)]


def candidates() -> Iterator[Training]:
    """What a free slot may run, in order. What waits is read only when nothing is abandoned."""
    yield from abandoned()
    yield from waiting()


def enqueue(training_id: str) -> None:
    async_task("training.tasks.training_run", training_id, cluster=CLUSTER)


def enqueue_on_commit(training: Training) -> None:
    training_id = training.pk
    transaction.on_commit(lambda: enqueue(training_id))


def is_empty() -> bool:
    """Whether no task waits in the broker. One that a worker has already fetched does not count."""
    return int(get_broker(CLUSTER).queue_size()) == 0


def fits_here(training: Training) -> bool:
    """Whether this host may run it: what asks for CUDA is left to hosts that have a GPU, as long as one lives.

    Without one it is run here all the same, and fails with the reason. Any host may end what is to be stopped.
    """
    if training.device != "cuda" or training.status == "STOP_IN_PROGRESS" or gpus.visible():
        return True
    return heartbeats.gpus(CLUSTER) == 0


def wake_next() -> None:
    """When a slot becomes free and a training waits without a task, give it one at once."""
    if not is_empty():
        return
    if following := next(filter(fits_here, candidates()), None):
        enqueue(following.pk)
    elif (following := next(candidates(), None)) and _gpu_is_free():
        time.sleep(PASS_SECONDS)  # the task may come to this host again, and again be passed on
        enqueue(following.pk)


def _gpu_is_free() -> bool:
    """Whether a host with a GPU has a slot that does nothing; one without wakes itself as soon as it has."""
    busy = Counter(lease.host_of(training) for training in begun() if lease.held(training))
    return any(host.gpus and host.slots > busy[host.name] for host in heartbeats.hosts(CLUSTER))
