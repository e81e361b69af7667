"""Where a zip's table of contents lies, and what is said of a file that has none. Knows no Django.

Format: PKWARE APPNOTE 4.3.12 (central header), 4.3.14 to 4.3.16 (end records), 8.5.5 (parts of a split zip).
"""

import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from training.algorithms.base import Message, Problem
from training.algorithms.base import gettext_noop as _
from training.report import Report

END, END64, LOCATOR, LOCAL, PART = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07", b"PK\x03\x04", b"PK\x07\x08"
END_BYTES, END64_BYTES, LOCATOR_BYTES, COMMENT_BYTES = 22, 56, 20, 65535
# What people upload in place of a zip, by its first bytes; a tar's name comes later, at TAR.
KINDS = {
    b"Rar!": "RAR",
    b"7z\xbc\xaf\x27\x1c": "7z",
    b"\x1f\x8b": "gzip (.gz, .tgz)",
    b"BZh": "bzip2 (.bz2)",
    b"\xfd7zXZ": "xz",
    b"\x28\xb5\x2f\xfd": "Zstandard (.zst)",
    b"EGGA": "EGG",
    b"ALZ\x01": "ALZ",
    b"\x89PNG": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"%PDF": "PDF",
}
TAR = 257


@dataclass(frozen=True)
class End:
    """`table` is where the table of contents begins, `missing` how many bytes there should be before it and are not."""

    table: int
    table_bytes: int
    missing: int
    split: bool


def check(path: Path, limit: int, report: Report) -> bool:
    """Whether the file has a whole table of at most `limit` entries; else add to `report` what is wrong."""
    problem = fault(path)
    if problem is None and _count_entries(path, limit) > limit:
        text = _("The zip has more than %(limit)s entries, which is the limit. Split it into several datasets.")
        problem = Problem("too_many_entries", Message(text, {"limit": limit}))
    if problem:
        report.add(problem)
    return problem is None


def fault(path: Path) -> Problem | None:
    """Why the file is no whole zip, told by its beginning and its end alone; None when it may be one."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        try:
            end = _find_end(file, size)
        except (struct.error, ValueError):
            return _what_it_is(file, size)
    if end.split:
        return _part()
    if end.table < 0:
        text = _("The zip's table of contents does not fit into the file: it is damaged. Make it again.")
        return Problem("zip_damaged", Message(text))
    if end.missing > 0:
        text = _("%(count)s bytes are missing inside the zip. Make it again and upload it again.")
        return Problem("zip_damaged", Message(text, {"count": end.missing}))
    return None


def _find_end(file: BinaryIO, size: int) -> End:
    """Read the end records of a file of `size` bytes. Raises struct.error or ValueError when there are none."""
    start = max(0, size - END_BYTES - COMMENT_BYTES - LOCATOR_BYTES)
    file.seek(start)
    tail = file.read()
    at = tail.rfind(END)
    if at < 0:
        raise ValueError("no end record")
    disk, table_disk, table_bytes, offset = struct.unpack("<4x2H4xLL2x", tail[at : at + END_BYTES])
    end = start + at
    if at >= LOCATOR_BYTES and tail[at - LOCATOR_BYTES :].startswith(LOCATOR):
        end -= LOCATOR_BYTES + END64_BYTES
        file.seek(max(0, end))
        signature, disk, table_disk, table_bytes, offset = struct.unpack("<4s12xLL16xQQ", file.read(END64_BYTES))
        if signature != END64:
            raise ValueError("zip64 end record is not where it must be")
    return End(end - table_bytes, table_bytes, offset - (end - table_bytes), split=0 < max(disk, table_disk) < 0xFFFF)


def _count_entries(path: Path, limit: int) -> int:
    """Entries in the table, counting no further than `limit` + 1, in constant memory: zipfile would first build an
    object for each. What is damaged in the table, zipfile says.
    """
    count = position = 0
    with path.open("rb") as file:
        end = _find_end(file, file.seek(0, os.SEEK_END))
        file.seek(end.table)
        while position < end.table_bytes and count <= limit and len(header := file.read(46)) == 46:
            lengths = struct.unpack("<28x3H12x", header)
            file.seek(sum(lengths), os.SEEK_CUR)
            position += 46 + sum(lengths)
            count += 1
    return count


def _what_it_is(file: BinaryIO, size: int) -> Problem:
    """Of a file without a table of contents, as exactly as its first bytes allow."""
    file.seek(0)
    head = file.read(TAR + 5)
    kind = next((name for start, name in KINDS.items() if head.startswith(start)), "")
    if head[TAR:] == b"ustar":
        kind = "tar"
    if head.startswith(PART):
        return _part()
    if head.startswith((LOCAL, END)):
        text = _(
            "It begins as a zip, but the end of the zip is missing. Upload it again; if that fails, make it again."
        )
        return Problem("zip_cut_off", Message(text))
    if kind:
        text = _("This is not a zip but a file of the kind %(kind)s. Pack the folder as a zip and upload that.")
        return Problem("not_a_zip", Message(text, {"kind": kind}))
    text = _("This is not a zip. Pack the folder as a zip and upload that.")
    if not size:
        text = _("The file is empty. Make the zip again and upload it again.")
    return Problem("not_a_zip", Message(text))


def _part() -> Problem:
    text = _("This is one part of a zip that was split. Join the parts, or zip the folder again as one file.")
    return Problem("zip_split", Message(text))
