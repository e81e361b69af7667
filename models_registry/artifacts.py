"""The files of a model: copied, summed, synced, made read-only, streamed as one archive. Knows no database."""

import hashlib
import os
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TypedDict

CHUNK = 1024 * 1024
SUMS = "SHA256SUMS"


class File(TypedDict):
    name: str
    bytes: int
    sha256: str


def copy_folder(source: Path, target: Path) -> None:
    """Copy the files of `source` into the new folder `target`. Raises OSError."""
    target.mkdir(parents=True)
    for path in sorted(source.iterdir()):
        if path.is_file():
            shutil.copyfile(path, target / path.name)


def seal(folder: Path) -> list[File]:
    """Write SHA256SUMS, bring everything to the disk and make it read-only. -> every file but SHA256SUMS itself."""
    files = [_summed(path) for path in sorted(folder.iterdir())]
    (folder / SUMS).write_text("".join(f"{file['sha256']}  {file['name']}\n" for file in files))
    for path in folder.iterdir():
        _sync(path)
        path.chmod(0o444)
    _sync(folder)
    folder.chmod(0o555)
    return files


def publish(folder: Path, target: Path) -> None:
    """Rename, and make the rename itself survive a power cut."""
    folder.rename(target)
    _sync(target.parent)


def remove(folder: Path) -> None:
    """Delete a folder, read-only or not; one that is not there is fine. Raises OSError."""
    if folder.exists():
        folder.chmod(0o755)
        shutil.rmtree(folder)


def verify(folder: Path) -> list[str]:
    """The names of files that are missing or are not what SHA256SUMS says."""
    wrong = []
    for line in (folder / SUMS).read_text().splitlines():
        sha256, name = line.split("  ", 1)
        path = folder / name
        if not path.is_file() or _summed(path)["sha256"] != sha256:
            wrong.append(name)
    return wrong


class _Pipe:
    """What ZipFile writes to: keeps only what has not been taken yet. It cannot seek, so ZipFile does not try."""

    def __init__(self) -> None:
        self._chunks: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._chunks.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Nothing is buffered."""

    def close(self) -> None:
        """Nothing is open."""

    def take(self) -> bytes:
        data = b"".join(self._chunks)
        self._chunks.clear()
        return data


def archive(folder: Path, name: str) -> Iterator[bytes]:
    """The folder's files below `name`/ as the pieces of a zip: stored, one megabyte in memory at a time."""
    pipe = _Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_STORED) as target:
        for path in sorted(folder.iterdir()):
            entry = zipfile.ZipInfo.from_file(path, f"{name}/{path.name}")
            entry.external_attr = 0o644 << 16  # the copy that someone unpacks is theirs to change
            with path.open("rb") as reader, target.open(entry, "w") as writer:
                while chunk := reader.read(CHUNK):
                    writer.write(chunk)
                    yield pipe.take()
    yield pipe.take()


def _summed(path: Path) -> File:
    with path.open("rb") as reader:
        digest = hashlib.file_digest(reader, "sha256")
    return {"name": path.name, "bytes": path.stat().st_size, "sha256": digest.hexdigest()}


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
