"""One worker at a dataset, and how far it is: what upload, import and ingest have in common."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from django.db.models import QuerySet
from django.utils import timezone

from training.dataset_files import locked
from training.models import Dataset

SECONDS = 1.0  # between two writes of the progress


class Abandoned(Exception):
    """The dataset has another status than the work belongs to: someone deleted it meanwhile."""


@contextmanager
def claimed(rows: "QuerySet[Dataset]", dataset_id: str) -> Iterator[Dataset | None]:
    """Hold the dataset's lock. Yields None when it is not among `rows`, or when another worker is at it."""
    found = rows.filter(pk=dataset_id).first()
    if found is None:
        yield None
        return
    with locked(found.folder, wait=False) as mine:
        yield rows.filter(pk=dataset_id).first() if mine else None  # looked at again: now nobody else changes it


class Progress:
    """Phase, done and total on the row of a dataset that has `status` while the work lasts."""

    def __init__(self, dataset: Dataset, status: str) -> None:
        self.rows = Dataset.objects.filter(pk=dataset.pk, status=status)
        self.written = 0.0

    def __call__(self, phase: str, done: int, total: int) -> None:
        """Written about once a second. Raises Abandoned."""
        if time.monotonic() - self.written >= SECONDS and not self.write(phase, done, total):
            raise Abandoned

    def write(self, phase: str, done: int, total: int) -> bool:
        """-> False when the dataset has another status by now."""
        self.written = time.monotonic()
        progress = {"phase": phase, "done": done, "total": total}
        return bool(self.rows.update(progress=progress, updated_at=timezone.now()))
