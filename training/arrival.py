"""What has arrived for a dataset, a zip or the files of an import, on its way into the data folder."""

import hashlib
from collections.abc import Callable, Collection
from pathlib import Path

from training import archive
from training.algorithms.base import gettext_noop as _
from training.models import Dataset
from training.report import Report

CHUNK = 1024 * 1024
Progress = Callable[[str, int, int], None]


def unpack(
    dataset: Dataset,
    work: Path,
    limits: archive.Limits,
    report: Report,
    *,
    known: Collection[str],
    progress: Progress,
    arrived: Callable[[str, int], None],
) -> None:
    """Put the dataset's files into the empty folder `work`; add to `report` what is wrong with what arrived."""
    if not intact(dataset, report, progress):
        return
    archive.extract(
        dataset.upload_path,
        work,
        limits,
        report,
        known=known,
        progress=lambda done, total: progress("unpacking", done, total),
        arrived=arrived,
    )


def intact(dataset: Dataset, report: Report, progress: Progress) -> bool:
    """Whether the zip has the SHA-256 that its sender announced. Notes the sum on the row, where it is not yet."""
    expected = dataset.source.get("sha256", "")
    if not dataset.zip_sha256:
        dataset.zip_sha256 = sha256_of(dataset.upload_path, progress)
        Dataset.objects.filter(pk=dataset.pk).update(zip_sha256=dataset.zip_sha256)
    if expected in ("", dataset.zip_sha256):
        return True
    text = _(
        "The zip arrived with the SHA-256 %(now)s instead of %(expected)s: it was changed on its way. Send it again."
    )
    report.error("wrong_checksum", text, now=dataset.zip_sha256, expected=expected)
    return False


def sha256_of(path: Path, progress: Progress) -> str:
    """In hexadecimal digits. `progress("checksum", bytes, bytes)` is called for each piece."""
    digest, done, size = hashlib.sha256(), 0, path.stat().st_size
    with path.open("rb") as file:
        while piece := file.read(CHUNK):
            digest.update(piece)
            done += len(piece)
            progress("checksum", done, size)
    return digest.hexdigest()
