"""A dataset's folder: who works on it, how it goes, what becomes of it when a process was killed."""

import os
import shutil
import time
from contextlib import AbstractContextManager
from pathlib import Path

from django.conf import settings
from django_q.brokers import get_broker
from django_q.tasks import async_task

from training import lifecycle
from training.locks import file_lock
from training.mends import PLANS
from training.models import Dataset, DatasetStatus

TASKS: dict[str, str] = {
    DatasetStatus.VALIDATING: "training.tasks.dataset_ingest",
    DatasetStatus.DELETE_IN_PROGRESS: "training.tasks.dataset_remove",
}
OWN_FAULTS = {"disk_full"}  # errors of a report that say nothing against the zip
LEFTOVER_SECONDS = 24 * 3600  # an upload that takes longer than this has been given up


def locked(folder: Path, *, wait: bool) -> AbstractContextManager[bool]:
    """Hold the dataset's lock; it is gone with the process that holds it. Yields False when another has it."""
    return file_lock(folder / "lock", wait=wait)


def count_attempt(folder: Path) -> int:
    """How often the ingest has begun, this time included: a zip that ends its worker must not do so for ever."""
    with (folder / "attempts").open("ab") as file:
        file.write(b".")
        return file.tell()


def fsync_folder(folder: Path) -> None:
    """Put the folder's entries themselves onto the disk: without it a rename may be lost in a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove(dataset_id: str) -> None:
    """Delete the files, then the row, of a dataset that is DELETE_IN_PROGRESS. Repeatable until both are gone."""
    dataset = Dataset.objects.filter(pk=dataset_id, status=DatasetStatus.DELETE_IN_PROGRESS).first()
    if dataset is None:
        return
    with locked(dataset.folder, wait=True):  # an ingest that still runs notices the status and lets go
        if not Dataset.objects.filter(pk=dataset_id).exists():  # another worker removed it while we waited
            return shutil.rmtree(dataset.folder, ignore_errors=True)
        for name in ("data", "data.tmp"):  # first what takes long: the lock must be there until the end
            shutil.rmtree(dataset.folder / name, ignore_errors=True)
        shutil.rmtree(dataset.folder)
        lifecycle.record(dataset, "deleted", from_status=dataset.status)
        dataset.delete()


def reconcile() -> None:
    """Each minute: a task died with its worker, so it is enqueued again; what was left over is removed."""
    if int(get_broker().queue_size()) == 0:  # else they may only be waiting for their turn
        start_over()
    sweep()


def start_over() -> None:
    """A task for every dataset that needs one and that nobody works on. A second one finds nothing to do."""
    for dataset in Dataset.objects.filter(status__in=TASKS):
        with locked(dataset.folder, wait=False) as free:
            if free:
                async_task(TASKS[dataset.status], dataset.pk)


def sweep() -> None:
    """Remove what a killed process left: uploads that never became a dataset, zips that nobody needs."""
    limit = time.time() - LEFTOVER_SECONDS
    home = Path(settings.CONSOLE_HOME)
    for path in (home / "incoming").glob("*"):
        if path.is_file() and path.stat().st_mtime < limit:
            path.unlink(missing_ok=True)
    for folder in (home / "datasets").glob("*"):
        dataset = Dataset.objects.filter(pk=folder.name).first()
        if dataset is None and folder.stat().st_mtime < limit:
            shutil.rmtree(folder, ignore_errors=True)
        elif dataset is not None and not needs_zip(dataset):
            dataset.upload_path.unlink(missing_ok=True)


def needs_zip(dataset: Dataset) -> bool:
    """Whether the zip is still to be unpacked: by its own ingest, or because mends could make a version of it."""
    if dataset.status == DatasetStatus.INVALID and judged(dataset):
        kept = (dataset.folder / PLANS).exists()
        return kept and not dataset.successors.filter(status=DatasetStatus.READY).exists()
    return dataset.status != DatasetStatus.READY


def judged(dataset: Dataset) -> bool:
    """Whether the report has an error of the files. An INVALID dataset without one met a fault of the console."""
    return any(row["level"] == "error" and row["code"] not in OWN_FAULTS for row in dataset.report)


def can_check(dataset: Dataset) -> bool:
    """Whether an INVALID dataset may be checked again: nothing was found against its files, and they are there."""
    if dataset.status != DatasetStatus.INVALID or judged(dataset):
        return False
    base = dataset.based_on if dataset.source.get("kind") == "mend" else None
    return dataset.upload_path.exists() or bool(base and base.data_folder.is_dir())


def forget_attempts(folder: Path) -> None:
    """Count the attempts of the ingest from the start."""
    (folder / "attempts").unlink(missing_ok=True)
