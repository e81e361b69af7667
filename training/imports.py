"""An import in a worker: the source's zip, or its files made a zip, becomes the dataset's upload.zip; then as ever.

So what comes from a folder or a bucket passes the very checks of an upload. Killed at any moment it is repeated: a zip
goes on where it was, a folder is copied anew.
"""

import logging
import os
import time
import zipfile
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from django.conf import settings
from django.db import models
from django_q.brokers import get_broker
from django_q.tasks import async_task

from training import dataset_files, disk, lifecycle, sources
from training.algorithms.base import Message
from training.algorithms.base import gettext_noop as _
from training.dataset_work import Abandoned, Progress, claimed
from training.models import Dataset, DatasetStatus
from training.services.imports import TASK
from training.services.uploads import dataset_arrived
from training.sources import Item, Source, SourceError

log = logging.getLogger(__name__)
CHUNK = 1024 * 1024
SMALL = 4 * CHUNK  # a file that is fetched whole, several at a time
ATTEMPTS = 5  # for each file, when the connection to the source fails
WAIT_SECONDS = 1.0  # before the second one; doubled each time
PHASE = "importing"


def run(dataset_id: str) -> None:
    """Import for an UPLOADING dataset. Does nothing when there is none, or when another worker is at it."""
    with claimed(under_way(), dataset_id) as dataset:
        if dataset is None:
            return
        try:
            _import(dataset)
        except (Abandoned, Dataset.DoesNotExist):
            log.info("dataset %s was deleted while it was imported", dataset_id)
        except SourceError as error:
            _fail(dataset, error.message)
        except Exception as error:
            log.exception("the import of dataset %s failed", dataset_id)
            text = _("The console failed while it copied the files (%(error)s). This is its fault: see its log.")
            _fail(dataset, disk.reason(error) or Message(text, {"error": type(error).__name__}))


def under_way() -> "models.QuerySet[Dataset]":
    return Dataset.objects.filter(status=DatasetStatus.UPLOADING, source__kind__in=list(sources.KINDS))


def _import(dataset: Dataset) -> None:
    if not dataset.upload_path.exists():
        source = sources.open_source(dataset.source["kind"], dataset.source["where"])
        part = dataset.folder / "upload.part"
        if item := source.zip_item():
            _copy_zip(dataset, source, item, part)
        else:
            _make_zip(dataset, source, part)
        part.rename(dataset.upload_path)
        dataset_files.fsync_folder(dataset.folder)
    dataset_arrived(dataset=dataset, user=dataset.created_by, size=dataset.upload_path.stat().st_size)


def _copy_zip(dataset: Dataset, source: Source, item: Item, part: Path) -> None:
    """Go on where an earlier attempt was, unless the zip has changed since."""
    _check_room(dataset, item.size, settings.UPLOAD_MAX_BYTES)
    version = dataset.folder / "upload.version"
    if not version.exists() or version.read_text() != item.version:
        part.unlink(missing_ok=True)
        version.write_text(item.version)
    progress = Progress(dataset, DatasetStatus.UPLOADING)
    with part.open("ab") as out:
        for piece in _pieces(source, item, start=out.tell()):
            out.write(piece)
            progress(PHASE, out.tell(), item.size)
        out.flush()
        os.fsync(out.fileno())
    version.unlink()


def _make_zip(dataset: Dataset, source: Source, part: Path) -> None:
    """A zip that packs nothing: images are packed already. Names go in as they are; the ingest judges them."""
    items = list(_listed(source))
    total = sum(item.size for item in items)
    _check_room(dataset, total, settings.ZIP_MAX_BYTES)
    progress, done = Progress(dataset, DatasetStatus.UPLOADING), 0
    with part.open("wb") as out, zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for item, pieces in _contents(source, items):
            info = zipfile.ZipInfo(item.name)
            info.external_attr = item.mode << 16
            info.file_size = item.size
            with archive.open(info, "w", force_zip64=item.size >= 2**31) as entry:
                for piece in pieces:
                    entry.write(piece)
                    done += len(piece)
                    progress(PHASE, done, total)
        archive.close()
        out.flush()
        os.fsync(out.fileno())


def _listed(source: Source) -> Iterator[Item]:
    for number, item in enumerate(source.items(), 1):
        if number > settings.ZIP_MAX_ENTRIES:
            text = _("There are more than %(limit)s files, which is the limit. Split them into several datasets.")
            raise SourceError(Message(text, {"limit": settings.ZIP_MAX_ENTRIES}))
        yield item


def _contents(source: Source, items: list[Item]) -> Iterator[tuple[Item, Iterable[bytes]]]:
    """Every item with its bytes, in order. Small ones are fetched ahead, `source.parallel` at a time."""
    ahead: deque[tuple[Item, Future[bytes] | None]] = deque()
    with ThreadPoolExecutor(source.parallel) as pool:
        waiting = iter(items)
        try:
            while True:
                while len(ahead) < 2 * source.parallel and (item := next(waiting, None)):
                    small = 0 < item.size <= SMALL
                    ahead.append((item, pool.submit(b"".join, _pieces(source, item)) if small else None))
                if not ahead:
                    return
                item, fetched = ahead.popleft()
                yield item, ([fetched.result()] if fetched else _pieces(source, item))
        finally:
            pool.shutdown(cancel_futures=True)


def _pieces(source: Source, item: Item, start: int = 0) -> Iterator[bytes]:
    """The bytes of a file from `start` on. A connection that fails is made again, from where it was."""
    failed = 0
    while start < item.size:
        try:
            with source.read(item, start) as file:
                while piece := file.read(min(CHUNK, item.size - start)):
                    start += len(piece)
                    failed = 0
                    yield piece
            if start < item.size:
                raise ConnectionError("the file ended early")
        except ConnectionError as error:
            failed += 1
            if failed == ATTEMPTS:
                text = _("The connection to the storage failed at %(name)s (%(error)s). Import it again later.")
                raise SourceError(Message(text, {"name": item.name, "error": str(error)})) from error
            time.sleep(WAIT_SECONDS * 2 ** (failed - 1))


def _check_room(dataset: Dataset, size: int, limit: int) -> None:
    if size > limit:
        text = _("There are %(total)s to copy; the limit is %(limit)s.")
        raise SourceError(Message(text, {"total": disk.readable(size), "limit": disk.readable(limit)}))
    if size > (free := disk.free_bytes(dataset.folder)):
        text = _("There are %(total)s to copy, but only %(free)s are free on the console's disk.")
        raise SourceError(Message(text, {"total": disk.readable(size), "free": disk.readable(free)}))


def _fail(dataset: Dataset, reason: Message) -> None:
    if lifecycle.move(dataset, DatasetStatus.INVALID, reason=reason, progress={}):
        for name in ("upload.part", "upload.version", "upload.zip"):
            (dataset.folder / name).unlink(missing_ok=True)


def start_over() -> None:
    """When a worker starts: a task for every import that nobody works on. A second one finds nothing to do."""
    for dataset in under_way():
        with dataset_files.locked(dataset.folder, wait=False) as free:
            if free:
                async_task(TASK, dataset.pk)


def reconcile() -> None:
    """Each minute: an import whose worker was killed goes on."""
    if int(get_broker().queue_size()) == 0:  # else they may only be waiting for their turn
        start_over()
