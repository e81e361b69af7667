"""events.jsonl -> the database. Rows and the offset up to which the file has been read change together.

So whenever a runner dies, the next one goes on at the first event that is not in the database: nothing
is lost, nothing is counted twice.
"""

import json
import logging
from typing import Any

from django.db import transaction

from training import lifecycle
from training.algorithms.base import Message, gettext_noop
from training.lease import LeaseLost
from training.models import MetricPoint, Training

logger = logging.getLogger(__name__)
NAME_LENGTH = MetricPoint._meta.get_field("name").max_length  # a class may have a longer name
MOST_STEPS = 2**31 - 1  # what the column holds; num_train_epochs has no upper limit
CHUNK_BYTES = 1 << 20  # of events in one transaction: others wait for the database meanwhile


def drain(training: Training, owner: str) -> None:
    """Relay every complete line that is not in the database yet. Raises LeaseLost. Refreshes `training`."""
    while _relay_chunk(training, owner):
        pass


def rewind(training: Training) -> None:
    """Before an attempt: what was read and is no longer in the file must not hide what will be written there.

    Our place in the file is on the disk with every transaction, the trainer's lines are not: a power cut may take
    the last of them.
    """
    path = training.folder / "events.jsonl"
    size = path.stat().st_size if path.exists() else 0
    if size < training.events_offset:
        Training.objects.filter(pk=training.pk).update(events_offset=size)
        training.events_offset = size


def _relay_chunk(training: Training, owner: str) -> bool:
    """Relay up to CHUNK_BYTES. -> whether there may be more."""
    lines = _read(training)
    if not lines:
        return False
    with transaction.atomic():
        training.refresh_from_db(from_queryset=Training.objects.select_for_update())  # nobody takes the lease meanwhile
        if training.lease_owner != owner:
            raise LeaseLost(training.pk)
        batch = Batch(training)
        for line in lines:
            batch.add_line(line)
        batch.changes["events_offset"] = training.events_offset + sum(len(line) for line in lines)
        batch.write()
    return sum(len(line) for line in lines) > CHUNK_BYTES // 2


def _read(training: Training) -> list[bytes]:
    path = training.folder / "events.jsonl"
    if not path.exists():
        return []
    with path.open("rb") as file:
        file.seek(training.events_offset)
        lines = file.read(CHUNK_BYTES).splitlines(keepends=True)
        if lines and len(lines) == 1 and not lines[0].endswith(b"\n"):
            lines = [lines[0] + file.readline()]  # one line longer than a chunk
    return lines if not lines or lines[-1].endswith(b"\n") else lines[:-1]


class Batch:
    """What one chunk of events changes: fields of the training, points of its series, its status, its history."""

    def __init__(self, training: Training) -> None:
        self.training = training
        self.changes: dict[str, Any] = {}
        self.points: dict[tuple[str, int], MetricPoint] = {}
        self.checkpoint: int | None = None

    def add_line(self, line: bytes) -> None:
        """A line that a power cut tore is passed over: it must not keep the rest from the database."""
        try:
            event = json.loads(line)
        except ValueError:
            logger.warning("training %s: an unreadable event: %r", self.training.pk, line[:200])
        else:
            self.add(event)

    def add(self, event: dict[str, Any]) -> None:
        handler = getattr(self, f"_{event['type']}", None)
        if handler is None:
            logger.warning("training %s: unknown event %r", self.training.pk, event["type"])
        else:
            handler(event)

    def write(self) -> None:
        """All of it, inside the caller's transaction."""
        if self.points:
            MetricPoint.objects.bulk_create(
                self.points.values(),
                batch_size=500,
                update_conflicts=True,
                unique_fields=["training", "name", "step"],
                update_fields=["epoch", "value"],
            )
        if self.checkpoint is not None:
            reason = Message(gettext_noop("A checkpoint was saved at step %(step)s."), {"step": self.checkpoint})
            lifecycle.record(self.training, "checkpoint", reason=reason)
        Training.objects.filter(pk=self.training.pk).update(**self.changes)
        for name, value in self.changes.items():
            setattr(self.training, name, value)

    def _now(self, name: str) -> Any:
        """A field's value with this batch's changes in it."""
        return self.changes.get(name, getattr(self.training, name))

    def _phase(self, event: dict[str, Any]) -> None:
        self.changes["phase"] = event["phase"]
        if event["phase"] != "preparing" and self.training.status == "CREATE_IN_PROGRESS":
            lifecycle.move(self.training, "RUNNING")
        if event["phase"] == "saving" and self.training.status == "RUNNING":
            lifecycle.move(self.training, "COMPLETE_IN_PROGRESS")

    def _progress(self, event: dict[str, Any]) -> None:
        self.changes |= {name: event[name] for name in ("step", "epoch", "eta_seconds")}
        self.changes["total_steps"] = min(event["total_steps"], MOST_STEPS)

    def _metric(self, event: dict[str, Any]) -> None:
        """Points of the charts, and the newest value of each on the training (classes only in the charts)."""
        self.changes |= {"step": event["step"], "epoch": event["epoch"]}  # progress comes once a second at most
        newest = dict(self._now("metrics"))
        for name, value in event["values"].items():
            if value is None:  # JSON has no NaN: a loss that is not a number has no place in a chart
                continue
            series, step = name[:NAME_LENGTH], event["step"]
            self.points[series, step] = MetricPoint(
                training=self.training, name=series, step=step, epoch=event["epoch"], value=float(value)
            )
            if name == "loss" or (name.startswith("eval_") and "/" not in name):
                newest[_short(name)] = value
        self.changes["metrics"] = newest

    def _checkpoint(self, event: dict[str, Any]) -> None:
        self.checkpoint = self.changes["step"] = event["step"]
        self.changes["warnings"] = [known for known in self._now("warnings") if known["code"] != "no_checkpoint"]

    def _setting(self, event: dict[str, Any]) -> None:
        self.changes["settings_used"] = {**self._now("settings_used"), **event["values"]}

    def _warning(self, event: dict[str, Any]) -> None:
        known = [warning for warning in self._now("warnings") if warning["code"] != event["code"]]
        new = {"code": event["code"], "text": event["text"], "params": event.get("params") or {}}
        self.changes["warnings"] = [*known, new]

    def _notice(self, event: dict[str, Any]) -> None:
        """A warning with what to do; its end when it is no longer `active`. One that is said anew keeps its place."""
        rows = list(self._now("warnings"))
        at = next((i for i, row in enumerate(rows) if row["code"] == event["code"]), len(rows))
        shown = {name: event[name] for name in ("code", "level", "text", "params", "advice") if name in event}
        self.changes["warnings"] = [*rows[:at], *([shown] if event["active"] else []), *rows[at + 1 :]]

    def _result(self, event: dict[str, Any]) -> None:
        self.changes["metrics"] = {**self._now("metrics"), **event["metrics"]}
        self.changes["test_metrics"] = event["test_metrics"]

    def _failure(self, event: dict[str, Any]) -> None:
        """The runner reads the reason from the file when the trainer has ended: see runfolder.failure()."""


def _short(name: str) -> str:
    """eval_accuracy -> accuracy. eval_loss keeps its name: `loss` is the training's."""
    return name if name == "eval_loss" else name.removeprefix("eval_")
