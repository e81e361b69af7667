"""Writing a checked zip's entries to disk. What they really hold is counted again, because a header may lie.

Only training.archive calls this: it has checked the names and the table of contents.
"""

import os
import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from training.algorithms.base import gettext_noop as _
from training.report import Report

CHUNK = 1024 * 1024
NAME_BYTES = 255  # a component's limit in every common file system
LOCAL_HEADER = struct.Struct("<4s2xH18xHH")  # of each entry: signature, flags, lengths of name and extra field
DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, struct.error, OverflowError, ValueError)


@dataclass(frozen=True)
class Entry:
    """One entry under its clean name: "/"-separated, NFC, without "." parts or a leading "/"."""

    info: zipfile.ZipInfo
    name: str
    folder: bool

    @property
    def key(self) -> str:
        """Equal for names that some file system would take for one and the same."""
        return unicodedata.normalize("NFC", self.name.casefold())


def parent_of(name: str) -> str:
    return name.rpartition("/")[0]


def folders_of(folder: str) -> Iterator[str]:
    """The folder itself, and every folder that it is in."""
    while folder:
        yield folder
        folder = parent_of(folder)


def write_entries(
    archive: zipfile.ZipFile,
    entries: list[Entry],
    folder: Path,
    report: Report,
    *,
    left: int,
    progress: Callable[[int, int], None],
    arrived: Callable[[str, int], None],
) -> None:
    """Write the entries below `folder`, at most `left` bytes of them. `arrived(path, bytes)`: a small one is there."""
    made = {""}
    assert archive.fp is not None  # it is open
    for done, entry in enumerate(entries, 1):
        parent = entry.name if entry.folder else parent_of(entry.name)
        if parent not in made:
            (folder / parent).mkdir(parents=True, exist_ok=True)
            made.add(parent)
        if not entry.folder:
            limit = min(left, entry.info.file_size)
            content = _content(archive.fp.fileno(), entry.info) if entry.info.file_size <= min(CHUNK, limit) else None
            try:
                if content is None:
                    left -= _copy(archive, entry, folder / entry.name, limit)
                else:
                    path = f"{folder}/{entry.name}"
                    _write(path, content)
                    left -= len(content)
                    arrived(path, len(content))
            except DAMAGED as error:
                text = _("The file is damaged inside the zip (%(reason)s). Make the zip again.")
                report.error("entry_damaged", text, entry.name, reason=str(error))
        progress(done, len(entries))


def _content(file: int, info: zipfile.ZipInfo) -> bytes | None:
    """A small entry, read and unpacked at once: half the time of zipfile. Checks what zipfile checks.

    None when anything is not as it should be: then zipfile reads the entry and says what.
    """
    if info.compress_size > 2 * CHUNK:
        return None
    raw = os.pread(file, LOCAL_HEADER.size + 2 * NAME_BYTES + info.compress_size, info.header_offset)
    if len(raw) < LOCAL_HEADER.size:
        return None
    signature, flags, name_length, extra_length = LOCAL_HEADER.unpack_from(raw)
    start = LOCAL_HEADER.size + name_length + extra_length
    packed = raw[start : start + info.compress_size]
    name = raw[LOCAL_HEADER.size : LOCAL_HEADER.size + name_length]
    encoding = "utf-8" if flags & 0x800 else "cp437"
    try:
        if signature != b"PK\x03\x04" or name.decode(encoding) != info.orig_filename:
            return None
        content = packed
        if info.compress_type == zipfile.ZIP_DEFLATED:
            content = zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, info.file_size + 1)
    except (UnicodeDecodeError, zlib.error):
        return None
    return content if len(content) == info.file_size and zlib.crc32(content) == info.CRC else None


def _write(path: str, content: bytes) -> None:
    """A new file: raises FileExistsError rather than write over one."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        while content:
            content = content[os.write(file, content) :]
    finally:
        os.close(file)


def _copy(archive: zipfile.ZipFile, entry: Entry, target: Path, limit: int) -> int:
    """-> bytes written. Raises BadZipFile when the entry holds more or less than its header says or other bytes."""
    written = 0
    with archive.open(entry.info) as source, target.open("xb") as out:
        while chunk := source.read(CHUNK):
            written += len(chunk)
            if written > limit:
                raise zipfile.BadZipFile("holds more than its header says")
            out.write(chunk)
    if written < entry.info.file_size:
        raise zipfile.BadZipFile("holds less than its header says")
    return written
