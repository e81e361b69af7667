"""Uploads that survive a cut at any byte: begun with a row, written piece by piece, finished exactly once."""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import PurePath
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from django_q.tasks import async_task

from training import dataset_files, lifecycle
from training.algorithms.base import Message, gettext_noop
from training.incoming import PHASE, Checksum, Read, Upload
from training.models import Dataset, DatasetStatus, Project
from training.services.datasets import field_errors
from training.services.naming import Errors, raise_if, taken


class Busy(Exception):
    """Another request writes to the same upload, and does not end."""


def dataset_upload_begin(
    *,
    project: Project,
    user: Any,
    name: str,
    algorithm: str,
    size: int,
    filename: str = "",
    description: str = "",
    sha256: str = "",
    modified: str = "",
) -> Dataset:
    """An UPLOADING dataset that waits for `size` bytes of a zip. Raises ValidationError.

    `sha256` (hex) is compared when everything is there. `filename` and `modified` (any text) let the person's browser
    find this upload again for the same file. The same one begun twice, because the first answer was lost, is one.
    """
    name = (name or PurePath(filename).stem[:50]).strip()
    source = {"kind": "upload", "where": filename[:255], "bytes": size}
    source |= {"modified": modified[:40], "sha256": sha256.lower()}
    if begun := _begun(project, user, name, algorithm, source):
        return begun
    raise_if(field_errors(project, name, algorithm, description) | _file_errors(size, sha256))
    dataset = Dataset(
        project=project,
        name=name,
        description=description.strip(),
        algorithm=algorithm,
        source=source,
        progress={"phase": PHASE, "done": 0, "total": size},
        created_by=user,
    )
    _keep(dataset, user)
    return dataset


def _file_errors(size: int, sha256: str) -> Errors:
    errors: Errors = {}
    if size <= 0:
        errors["file"] = [_("The file is empty.")]
    elif size > settings.UPLOAD_MAX_BYTES:
        text = _("The file has %(size)s bytes. This console accepts %(limit)s at most.")
        errors["file"] = [text % {"size": size, "limit": settings.UPLOAD_MAX_BYTES}]
    if sha256 and not re.fullmatch(r"[0-9a-fA-F]{64}", sha256):
        errors["sha256"] = [_("This is not a SHA-256 sum: 64 hexadecimal digits are expected.")]
    return errors


def _keep(dataset: Dataset, user: Any) -> None:
    """The empty file first, then the row: a row without a file would be an upload that cannot go on."""
    Upload(dataset).begin()
    try:
        with transaction.atomic():
            dataset.save(force_insert=True)
            lifecycle.record(dataset, dataset.status, actor=user)
    except IntegrityError as error:  # someone took the name since the look
        shutil.rmtree(dataset.folder)
        raise ValidationError({"name": [taken(dataset.name)]}) from error


def _begun(project: Project, user: Any, name: str, algorithm: str, source: dict[str, Any]) -> Dataset | None:
    """The person's unfinished upload of this very file; unless nothing of it is here, its date or sum must tell so."""
    fields = {"project": project, "name": name, "algorithm": algorithm, "status": DatasetStatus.UPLOADING}
    found = Dataset.objects.filter(created_by=user, **fields).first()
    if found is None or found.source != source:
        return None
    known = source["modified"] or source["sha256"] or not found.progress.get("done")
    return found if known else None


@contextmanager
def writing(dataset: Dataset) -> Iterator[Upload]:
    """The upload, for this process and thread alone. Raises Busy. Dataset.DoesNotExist when it was deleted."""
    with dataset_files.locked(dataset.folder, wait=False) as mine:
        if not mine:
            raise Busy
        dataset.refresh_from_db()
        yield Upload(dataset)


def dataset_upload_append(
    *, dataset: Dataset, user: Any, start: int, read: Read, checksum: Checksum | None = None
) -> int:
    """Write what `read` gives at `start`; with the last byte the dataset is made. -> the new offset.

    Raises Busy and whatever `Upload.append` raises.
    """
    with writing(dataset) as upload:
        if dataset.status != DatasetStatus.UPLOADING:
            return upload.length
        offset = upload.append(start, read, checksum)
        if offset == upload.length:
            dataset_upload_finish(upload=upload, user=user)
    return offset


def dataset_upload_finish(*, upload: Upload, user: Any = None) -> None:
    """Everything is there: have a worker validate it. Repeatable, and of two that try one wins."""
    dataset = upload.dataset
    if upload.part.exists():
        upload.part.rename(dataset.upload_path)
        dataset_files.fsync_folder(dataset.folder)
    dataset_arrived(dataset=dataset, user=user, size=upload.length)


def dataset_arrived(*, dataset: Dataset, user: Any, size: int) -> None:
    """The zip, of `size` bytes, is in its place: have a worker validate it. Of two that say so one wins."""
    task = dataset_files.TASKS[DatasetStatus.VALIDATING]
    with transaction.atomic():
        if lifecycle.move(dataset, DatasetStatus.VALIDATING, actor=user, progress={}, zip_bytes=size):
            transaction.on_commit(lambda: async_task(task, dataset.pk), robust=True)


def dataset_upload_expires(dataset: Dataset) -> datetime:
    """When an upload that nobody goes on with is given up."""
    return dataset.updated_at + timedelta(days=settings.UPLOAD_EXPIRY_DAYS)


def reconcile() -> None:
    """Each minute: make the datasets whose last byte came just before a kill; give up what nobody goes on with."""
    for dataset in Dataset.objects.filter(status=DatasetStatus.UPLOADING, source__kind="upload"):
        try:
            with writing(dataset) as upload:
                if dataset.status != DatasetStatus.UPLOADING:
                    continue
                if upload.offset() == upload.length:
                    dataset_upload_finish(upload=upload, user=dataset.created_by)
                elif dataset_upload_expires(dataset) < timezone.now():
                    _give_up(dataset)
        except (Busy, Dataset.DoesNotExist):
            continue


def _give_up(dataset: Dataset) -> None:
    reason = Message(
        gettext_noop("Nobody went on with the upload for %(days)s days."), {"days": settings.UPLOAD_EXPIRY_DAYS}
    )
    task = dataset_files.TASKS[DatasetStatus.DELETE_IN_PROGRESS]
    with transaction.atomic():
        if lifecycle.move(dataset, DatasetStatus.DELETE_IN_PROGRESS, reason=reason):
            transaction.on_commit(lambda: async_task(task, dataset.pk), robust=True)
