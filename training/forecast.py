"""When queued trainings are expected to begin: from the time left of those that run and from what similar ones took.

A forecast, not a promise: nobody knows a training's time before it has run. Where nothing similar has been trained
yet it says that it does not know.
"""

import heapq
import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median

from django.db.models import QuerySet
from django.utils import timezone

from training import heartbeats, queue
from training.models import Training

RECENT, NEAREST = 200, 5  # completed trainings looked at, and those of them that a forecast is made of


@dataclass(frozen=True)
class Place:
    """In the queue: 1 is next. `expected_start` is None when nothing is known to tell it by."""

    position: int
    expected_start: datetime | None

    @property
    def soon(self) -> bool:
        """Within a minute: no forecast is finer."""
        return self.expected_start is not None and self.expected_start < timezone.now() + timedelta(seconds=60)


def places() -> dict[str, Place]:
    """Every queued training by its id, as if the slots of all living hosts took them one after the other, and those of
    hosts with a GPU what asks for one."""
    waiting = list(queue.waiting().select_related("dataset"))
    if not waiting:
        return {}
    history, now = History(), timezone.now().replace(microsecond=0)
    with_gpu, without = _free_slots(history)
    found = {}
    for position, training in enumerate(waiting, 1):
        free = with_gpu if training.device == "cuda" and with_gpu else min(with_gpu, without, key=_first)
        begins = heapq.heappop(free) if free else math.inf
        known = math.isfinite(begins)
        found[training.pk] = Place(position, now + timedelta(seconds=round(begins)) if known else None)
        heapq.heappush(free, begins + history.seconds(training))
    return found


def _first(free: list[float]) -> float:
    return free[0] if free else math.inf


def _free_slots(history: "History") -> tuple[list[float], list[float]]:
    """In how many seconds each slot becomes free; infinity where that is not known. Of hosts with a GPU, and of the
    others: two heaps."""
    hosts = heartbeats.hosts(queue.CLUSTER)
    kinds = {host.name: host.gpus > 0 for host in hosts}
    elsewhere = all(kinds.values())  # what a host that is gone has left takes a slot of the others, if there are any
    busy: dict[bool, list[float]] = {True: [], False: []}
    for training in queue.begun().select_related("dataset"):
        busy[kinds.get(training.host, elsewhere)].append(_seconds_left(training, history))
    slots = {kind: sum(host.slots for host in hosts if kinds[host.name] == kind) for kind in busy}
    return _freed(busy[True], slots[True]), _freed(busy[False], slots[False])


def _freed(busy: list[float], slots: int) -> list[float]:
    """When each of so many slots becomes free, as a sorted list, which is a heap."""
    busy = sorted(busy)
    return busy[len(busy) - slots :] if len(busy) > slots else [0.0] * (slots - len(busy)) + busy


def _seconds_left(training: Training, history: "History") -> float:
    """Of one that has begun."""
    if training.status in ("STOP_IN_PROGRESS", "COMPLETE_IN_PROGRESS"):
        return 0.0
    trained = timezone.now().timestamp() - training.pid_started if training.pid_started else 0.0
    if training.eta_seconds is not None:  # what the trainer says; at its maximum time it is ended
        return max(0.0, min(training.eta_seconds, training.timeout_minutes * 60 - trained))
    return max(0.0, history.seconds(training) - trained)


class History:
    """What completed trainings took, by algorithm."""

    def __init__(self) -> None:
        self._rows: dict[str, list[tuple[float, float]]] = {}

    def seconds(self, training: Training) -> float:
        """What is left of a training that does not run: the median of the nearest in size, in proportion to size.

        Infinity when none of its algorithm has been completed, or the number of its images is not known.
        """
        work, known = _work(training), self._of(training.algorithm)
        if not work or not known:
            return math.inf
        nearest = sorted(known, key=lambda row: abs(math.log(work / row[0])))[:NEAREST]
        whole = median(seconds * work / other for other, seconds in nearest)
        done = training.step / training.total_steps if training.total_steps else 0.0
        return min(whole * (1 - done), training.timeout_minutes * 60)

    def _of(self, algorithm: str) -> list[tuple[float, float]]:
        """(size, seconds) of the newest."""
        if algorithm not in self._rows:
            completed = Training.objects.filter(algorithm=algorithm, status="COMPLETE", run_seconds__gt=0)
            rows: QuerySet[Training] = completed.select_related("dataset").order_by("-finished_at")[:RECENT]
            self._rows[algorithm] = [(work, row.run_seconds) for row in rows if (work := _work(row))]
        return self._rows[algorithm]


def _work(training: Training) -> float:
    """The size of a training: images times epochs, times the pixels of an image where those are chosen. 0: unknown."""
    images = training.dataset.images.get("train", 0) if training.dataset else 0
    epochs = training.hyperparameters.get("num_train_epochs", 1)
    side = float(training.hyperparameters.get("input_size", 1))  # its square may be infinite
    return float(images) * max(epochs, 0.1) * side * side  # one without an epoch evaluates, at least
