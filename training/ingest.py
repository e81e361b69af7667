"""A dataset's zip -> its normalised data folder and its report.

Repeatable from the start at any moment: the zip stays until the dataset is READY or found wanting, and what an
earlier, killed attempt left is removed first. A failure that is the console's own keeps it too: then the check can be
ordered again. Two workers never ingest the same dataset at once. A version that mends made goes the same way: its
files are those of the version before (or the zip of an INVALID one), mended, then checked.
"""

import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from threading import Thread

from django.conf import settings

from training import algorithms, archive, arrival, dataset_files, disk, lifecycle, mends, previews
from training.algorithms.base import Message
from training.algorithms.base import gettext_noop as _
from training.algorithms.layout import Layout
from training.algorithms.scan import Scan
from training.dataset_work import Abandoned, Progress, claimed
from training.models import Dataset, DatasetStatus
from training.report import Report

log = logging.getLogger(__name__)
MAX_ATTEMPTS = 5
KNOWN = ("train", "validation", "test", "resources")  # the folders at the top of a dataset


def run(dataset_id: str) -> None:
    """Ingest a VALIDATING dataset. Does nothing when there is none, or when another worker is at it."""
    with claimed(Dataset.objects.filter(status=DatasetStatus.VALIDATING), dataset_id) as dataset:
        if dataset is None:
            return
        try:
            _ingest(dataset)
        except (Abandoned, Dataset.DoesNotExist):
            log.info("dataset %s was deleted while it was validated", dataset_id)
        except Exception as error:
            log.exception("validation of dataset %s failed", dataset_id)
            shutil.rmtree(dataset.folder / "data.tmp", ignore_errors=True)  # the database may need the room
            _finish(dataset, DatasetStatus.INVALID, reason=_own_fault(error))


def _ingest(dataset: Dataset) -> None:
    if dataset_files.count_attempt(dataset.folder) > MAX_ATTEMPTS:
        text = _(
            "The worker ended %(count)s times while it checked the zip; it may lack the memory for it. The zip is "
            "kept: look at the console's log, then press “Check again”."
        )
        _finish(dataset, DatasetStatus.INVALID, reason=Message(text, {"count": MAX_ATTEMPTS}))
        return
    work = dataset.folder / "data.tmp"
    for leftover in (work, dataset.data_folder):
        shutil.rmtree(leftover, ignore_errors=True)
    (dataset.folder / mends.PLANS).unlink(missing_ok=True)
    work.mkdir()
    report = Report()
    layout = _validate(dataset, work, report)
    if layout is None:
        _keep_for_mends(dataset, work, report)
        _finish(dataset, DatasetStatus.INVALID, reason=report.summary(), report=report.as_json())
        return
    _leave_out_the_rest(work, report)
    layout.write(work, dataset.algorithm)
    mends.write_plans(dataset.folder, report.plans)
    os.sync()  # one for all files: an fsync a file would cost more than the rest of the ingest
    work.rename(dataset.data_folder)
    dataset_files.fsync_folder(dataset.folder)
    _finish(
        dataset,
        DatasetStatus.READY,
        report=report.as_json(),
        labels=layout.labels,
        images=layout.images,
        counts=layout.counts,
        disk_bytes=_bytes_on_disk(dataset.data_folder),
    )


def _validate(dataset: Dataset, work: Path, report: Report) -> Layout | None:
    """Unpack into `work` and check. -> None when `report` has errors."""
    progress = Progress(dataset, DatasetStatus.VALIDATING)
    todo = mends.read(dataset.folder / mends.TODO) or []
    with Scan(settings.IMAGE_MAX_PIXELS, progress) as scan:
        arrived = scan.arrived if not todo else lambda path, size: None  # what is mended changes
        _fetch(dataset, work, report, progress, arrived)
        if report.errors:
            return None
        Thread(target=os.sync, daemon=True).start()  # the disk can begin with what the sync at the end would wait for
        mends.carry_out(work, todo, progress)
        layout: Layout | None = algorithms.part(dataset.algorithm, "dataset").check(work, report, scan)
    return layout


def _fetch(
    dataset: Dataset, work: Path, report: Report, progress: Progress, arrived: Callable[[str, int], None]
) -> None:
    """Put the dataset's files into `work`: those of its zip, or of the version that it was made from."""
    limits = archive.Limits(settings.ZIP_MAX_ENTRIES, settings.ZIP_MAX_BYTES, settings.ZIP_MAX_RATIO)
    if dataset.upload_path.exists() or dataset.source.get("kind") != "mend":
        arrival.unpack(dataset, work, limits, report, known=KNOWN, progress=progress, arrived=arrived)
    elif dataset.based_on and dataset.based_on.data_folder.is_dir():
        mends.link_tree(dataset.based_on.data_folder, work, KNOWN, progress)
    else:
        report.error("base_missing", _("The dataset that it was to be made from has been deleted."))


def _leave_out_the_rest(work: Path, report: Report) -> None:
    """Remove what lies beside the folders of the layout; it could even stand where our own files belong."""
    for path in sorted(work.iterdir()):
        if path.name in KNOWN:
            continue
        report.fact("left_out", _("This is not part of the layout and is left out."), path.name)
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def _keep_for_mends(dataset: Dataset, work: Path, report: Report) -> None:
    """What is left of an INVALID dataset: pictures for its report; plans beside its zip when mends can save it."""
    previews.keep_thumbs(dataset, work, report.as_json())
    if not report.unmendable and dataset.upload_path.exists():
        mends.write_plans(dataset.folder, report.plans)


def _finish(dataset: Dataset, status: str, *, reason: Message | None = None, **fields: object) -> None:
    """Write the verdict, then remove what is not needed any more: in this order a kill loses nothing."""
    if not lifecycle.move(dataset, status, reason=reason, progress={}, **fields):
        return
    dataset_files.forget_attempts(dataset.folder)
    for one in filter(None, (dataset, dataset.based_on)):
        if not dataset_files.needs_zip(one):
            one.upload_path.unlink(missing_ok=True)
    for name in ("data.tmp", *(["data"] if status == DatasetStatus.INVALID else [])):
        shutil.rmtree(dataset.folder / name, ignore_errors=True)


def _own_fault(error: Exception) -> Message:
    """The reason for a failure that the zip did not cause."""
    if why := disk.reason(error):
        return Message(_("%(why)s The zip is not at fault and is kept: press “Check again” afterwards."), {"why": why})
    text = _(
        "The console failed while it checked the zip (%(error)s). This is its fault, not the zip's, which is kept: "
        "look at the console's log, then press “Check again”."
    )
    return Message(text, {"error": type(error).__name__})


def _bytes_on_disk(folder: Path) -> int:
    return sum(os.path.getsize(os.path.join(root, name)) for root, _dirs, files in os.walk(folder) for name in files)
