"""Datasets: an upload becomes a row and a file, a worker does the rest."""

import hashlib
import os
import secrets
from pathlib import Path, PurePath
from typing import Any, BinaryIO

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _
from django_q.tasks import async_task

from training import algorithms, dataset_files, lifecycle, samples, zip_table
from training.algorithms.base import Message, gettext_noop
from training.dataset_files import TASKS, fsync_folder
from training.errors import Conflict
from training.models import Dataset, DatasetStatus, Project, Training, new_id
from training.services.naming import Errors, name_errors, raise_if, taken

CHUNK = 1024 * 1024


def field_errors(project: Project, name: Any, algorithm: Any, description: Any = "") -> Errors:
    """What is wrong with the fields that every new dataset has, wherever its files come from."""
    errors = name_errors(Dataset, name, description, project=project)
    if algorithm not in algorithms.PACKAGES:
        errors["algorithm"] = [_("Choose one of %(keys)s.") % {"keys": ", ".join(algorithms.PACKAGES)}]
    return errors


def dataset_create(
    *,
    project: Project,
    user: Any,
    name: str,
    algorithm: str,
    file: Any,
    description: str = "",
    source: dict[str, Any] | None = None,
) -> Dataset:
    """Keep the zip `file` (an upload, or a file open for reading bytes) and have a worker validate it.

    `source` says where it came from; by default an upload. When this returns, zip and row are on the disk and survive
    any kill. Raises ValidationError.
    """
    errors = field_errors(project, name, algorithm, description)
    if file is None or not hasattr(file, "read"):
        errors["file"] = [_("Choose a zip file.")]
    raise_if(errors)
    incoming = Path(settings.CONSOLE_HOME) / "incoming" / f"{secrets.token_hex(8)}.zip"
    try:
        size, sha256 = _receive(file, incoming)
        dataset = Dataset(
            id=new_id(),
            project=project,
            name=name.strip(),
            description=description.strip(),
            algorithm=algorithm,
            status=DatasetStatus.VALIDATING,
            zip_bytes=size,
            zip_sha256=sha256,
            source=source or {"kind": "upload", "where": PurePath(str(getattr(file, "name", "") or "")).name},
            created_by=user,
        )
        _keep(dataset, incoming, user)
    finally:
        incoming.unlink(missing_ok=True)
    return dataset


def _receive(file: BinaryIO, target: Path) -> tuple[int, str]:
    """Copy `file` to `target` in constant memory and onto the disk. -> (bytes, SHA-256). Raises ValidationError."""
    digest, size = hashlib.sha256(), 0
    target.parent.mkdir(parents=True, exist_ok=True)
    file.seek(0)
    with target.open("wb") as out:
        while chunk := file.read(CHUNK):
            size += len(chunk)
            if size > settings.UPLOAD_MAX_BYTES:
                text = _("The file is larger than %(limit)s bytes, which is the limit.")
                raise ValidationError({"file": [text % {"limit": settings.UPLOAD_MAX_BYTES}]})
            digest.update(chunk)
            out.write(chunk)
        out.flush()
        os.fsync(out.fileno())
    if fault := zip_table.fault(target):
        raise ValidationError({"file": [_(fault.message.text) % fault.message.params]})
    return size, digest.hexdigest()


def _keep(dataset: Dataset, incoming: Path, user: Any) -> None:
    """Move the zip to the dataset's folder and write the row; neither is left when the other fails."""
    dataset.folder.mkdir(parents=True)
    incoming.rename(dataset.upload_path)
    for folder in (dataset.folder, dataset.folder.parent):
        fsync_folder(folder)
    try:
        with transaction.atomic():
            dataset.save(force_insert=True)
            lifecycle.record(dataset, dataset.status, actor=user)
            # robust: the row is committed by then; when the broker fails, the reconciliation enqueues it again.
            transaction.on_commit(lambda: async_task(TASKS[DatasetStatus.VALIDATING], dataset.pk), robust=True)
    except BaseException as error:
        dataset.upload_path.unlink(missing_ok=True)
        dataset.folder.rmdir()
        if isinstance(error, IntegrityError):  # someone took the name since the look
            raise_if({"name": [taken(dataset.name)]})
        raise


def dataset_create_sample(*, project: Project, user: Any, algorithm: str, name: str = "") -> Dataset:
    """Add the generated sample dataset of `algorithm` by the ordinary way of a zip. Raises ValidationError."""
    if algorithm not in samples.SAMPLES:
        errors: Errors = {"algorithm": [_("Choose one of %(keys)s.") % {"keys": ", ".join(samples.SAMPLES)}]}
        raise_if(errors)
    path = Path(settings.CONSOLE_HOME) / "incoming" / f"{secrets.token_hex(8)}.sample.zip"
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        samples.write(algorithm, path)
        with path.open("rb") as file:
            return dataset_create(
                project=project,
                user=user,
                name=name or _free_name(project, algorithm),
                algorithm=algorithm,
                file=file,
                description=_("Generated by the console to try things out."),
                source={"kind": "sample"},
            )
    finally:
        path.unlink(missing_ok=True)


def _free_name(project: Project, algorithm: str) -> str:
    base = f"{algorithms.get(algorithm).name} sample"
    used = set(project.datasets.filter(name__startswith=base).values_list("name", flat=True))
    return next(name for name in (base, *(f"{base} {n}" for n in range(2, len(used) + 3))) if name not in used)


def dataset_check(*, dataset: Dataset, user: Any) -> None:
    """Have a worker check an INVALID dataset again that the console itself failed at. Raises Conflict."""
    with transaction.atomic():
        row = lifecycle.locked(dataset)
        if not dataset_can_check(row):
            text = gettext_noop(
                "%(name)s cannot be checked again: that is for a dataset that the console failed to check, as long as "
                "its zip is there."
            )
            raise Conflict(Message(text, {"name": row.name}))
        dataset_files.forget_attempts(row.folder)
        lifecycle.move(row, DatasetStatus.VALIDATING, actor=user, progress={}, report=[])
        transaction.on_commit(lambda: async_task(TASKS[DatasetStatus.VALIDATING], row.pk), robust=True)
    dataset.refresh_from_db()


def dataset_can_check(dataset: Dataset) -> bool:
    """Whether the dataset is INVALID for no fault of its zip, which is still there: then it can be checked again."""
    return dataset_files.can_check(dataset)


def dataset_delete(*, dataset: Dataset, user: Any) -> None:
    """Have a worker delete the dataset. Raises Conflict when a training that is not finished uses it, or a
    version is being made of it.

    Deleting one that is being deleted asks the worker again: the first task may have been lost.
    """
    with transaction.atomic():
        lifecycle.locked(dataset)
        trainings = list(dataset.trainings.filter(status__in=Training.UNFINISHED))
        if trainings:
            names = ", ".join(training.name for training in trainings[:5])
            text = gettext_noop("The dataset is in use by a training that is not finished: %(names)s.")
            raise Conflict(Message(text, {"names": names}), trainings)
        unfinished = list(dataset.successors.filter(status=DatasetStatus.VALIDATING))
        if unfinished:
            text = gettext_noop("A new version is being made of this dataset: %(names)s. Wait until it is checked.")
            raise Conflict(Message(text, {"names": unfinished[0].name}), unfinished)
        dataset.refresh_from_db()
        if dataset.status != DatasetStatus.DELETE_IN_PROGRESS:
            lifecycle.move(dataset, DatasetStatus.DELETE_IN_PROGRESS, actor=user)
        transaction.on_commit(lambda: async_task(TASKS[DatasetStatus.DELETE_IN_PROGRESS], dataset.pk), robust=True)
