"""The bytes of an upload that may be interrupted: `datasets/<id>/upload.part`, whose size is the offset.

The row (status UPLOADING) and this file are everything that is known of an upload; no process has to live for it.
"""

import hashlib
import io
import os
from base64 import b64decode
from binascii import Error as NotBase64
from collections.abc import Callable
from pathlib import Path

from training.dataset_files import fsync_folder
from training.dataset_work import Progress
from training.models import Dataset, DatasetStatus

PIECE = 256 * 1024  # bytes read at once
FLUSH = 64 * 1024 * 1024  # bytes after which the disk has to have them: the last flush of 20 GB must not take minutes
PHASE = "uploading"
CHECKSUMS = ("sha1", "sha256")
Read = Callable[[int], bytes]


class WrongOffset(Exception):
    """The client would write elsewhere than where the file ends: args[0] bytes are there."""


class TooLong(Exception):
    """More bytes came than were announced when the upload began."""


class WrongChecksum(Exception):
    """The piece does not have the checksum that was sent with it. It was thrown away."""


class Cut(Exception):
    """The connection ended in the middle of a piece."""


class Checksum:
    """`Upload-Checksum: <algorithm> <base64>`. Raises ValueError for another algorithm or what is no checksum."""

    def __init__(self, header: str) -> None:
        name, _space, encoded = header.strip().partition(" ")
        if name not in CHECKSUMS:
            raise ValueError(name)
        self.digest = hashlib.new(name)
        try:
            self.expected = b64decode(encoded, validate=True)
        except NotBase64 as error:
            raise ValueError(encoded) from error

    def matches(self) -> bool:
        return self.digest.digest() == self.expected


class Upload:
    """The files of an upload. Whoever writes holds the dataset's lock (dataset_files.locked)."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        self.length = int(dataset.source["bytes"])
        self.part = dataset.folder / "upload.part"
        self.unverified = dataset.folder / "upload.unverified"
        self._progress = Progress(dataset, DatasetStatus.UPLOADING)

    def begin(self) -> None:
        """Make the empty file: from here on an offset can be asked for."""
        self.part.parent.mkdir(parents=True, exist_ok=True)
        self.part.touch()
        for folder in (self.dataset.folder, self.dataset.folder.parent):
            fsync_folder(folder)

    def offset(self) -> int:
        """Bytes that are safely on the disk. Throws away a piece whose checksum a killed process did not check."""
        if not self.part.exists():  # moved to its place already: only the row's status is missing
            return _size(self.dataset.upload_path)
        with self.part.open("rb+") as file:
            if self.unverified.exists():
                file.truncate(int(self.unverified.read_text() or 0))
            os.fsync(file.fileno())
            self.unverified.unlink(missing_ok=True)
            return os.fstat(file.fileno()).st_size

    def append(self, start: int, read: Read, checksum: Checksum | None = None) -> int:
        """Write what `read(size)` gives, until it gives nothing, at `start`. -> the new offset.

        Raises WrongOffset, TooLong, WrongChecksum, Abandoned, Cut (which `read` raises), and OSError when the disk does
        not do its part. What came before a cut or a full disk stays, unless it has a checksum: then the piece is taken
        whole or not at all.
        """
        if start != (now := self.offset()):
            raise WrongOffset(now)
        if checksum:
            self._mark(start)
        keep = False
        with self.part.open("rb+", buffering=0) as file:
            file.seek(start)
            try:
                self._write(file, start, read, checksum)
                keep = checksum is None or checksum.matches()
            except (Cut, OSError):
                keep = checksum is None
                raise
            finally:
                if not keep:
                    file.truncate(start)
                os.fsync(file.fileno())
                self.unverified.unlink(missing_ok=True)
                self._progress.write(PHASE, _size(self.part), self.length)
        if not keep:
            raise WrongChecksum
        return _size(self.part)

    def _mark(self, start: int) -> None:
        """From `start` on nothing is verified yet: if this process is killed, the next one has to know."""
        with self.unverified.open("w") as file:
            file.write(str(start))
            file.flush()
            os.fsync(file.fileno())
        fsync_folder(self.dataset.folder)

    def _write(self, file: io.FileIO, at: int, read: Read, checksum: Checksum | None) -> None:
        flushed = at
        while piece := read(PIECE):
            if at + len(piece) > self.length:
                raise TooLong
            if checksum:
                checksum.digest.update(piece)
            at += len(piece)
            while piece:
                piece = piece[file.write(piece) or 0 :]
            if at - flushed > FLUSH:
                os.fsync(file.fileno())
                flushed = at
            self._progress(PHASE, at, self.length)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
