"""Where a zip's table of contents lies, and what is said of a file that has none. Knows no Django.

Format: PKWARE APPNOTE 4.3.12 (central header), 4.3.14 to 4.3.16 (end records), 8.5.5 (parts of a split zip).
"""

import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

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
    """Whether the file has a whole table of at most `limit` entries; else add to `report` what is wrong.

    In constant memory: zipfile would first build an object for each entry.
    """
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        try:
            end = find_end(file, size)
        except (struct.error, ValueError):
            _say_what_it_is(file, size, report)
            return False
        if end.split:
            _say_split(report)
        elif end.table < 0:
            text = _("The zip's table of contents does not fit into the file: it is damaged. Make it again.")
            report.error("zip_damaged", text)
        elif end.missing > 0:
            text = _("%(count)s bytes are missing inside the zip. Make it again and upload it again.")
            report.error("zip_damaged", text, count=end.missing)
        elif _count_entries(file, end, limit) > limit:
            text = _("The zip has more than %(limit)s entries, which is the limit. Split it into several datasets.")
            report.error("too_many_entries", text, limit=limit)
    return not report.errors


def find_end(file: BinaryIO, size: int) -> End:
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


def _count_entries(file: BinaryIO, end: End, limit: int) -> int:
    """Entries in the table, counting no further than `limit` + 1. What is damaged in it, zipfile says."""
    file.seek(end.table)
    count, position = 0, 0
    while position < end.table_bytes and count <= limit:
        header = file.read(46)
        if len(header) < 46:
            break
        lengths = struct.unpack("<28x3H12x", header)
        file.seek(sum(lengths), os.SEEK_CUR)
        position += 46 + sum(lengths)
        count += 1
    return count


def _say_what_it_is(file: BinaryIO, size: int, report: Report) -> None:
    """The error of a file without a table of contents, as exactly as its first bytes allow."""
    file.seek(0)
    head = file.read(TAR + 5)
    kind = next((name for start, name in KINDS.items() if head.startswith(start)), "")
    if head[TAR:] == b"ustar":
        kind = "tar"
    if not size:
        report.error("not_a_zip", _("The file is empty. Make the zip again and upload it again."))
    elif head.startswith(PART):
        _say_split(report)
    elif head.startswith((LOCAL, END)):
        text = _(
            "It begins as a zip, but the end of the zip is missing. Upload it again; if that fails, make it again."
        )
        report.error("zip_cut_off", text)
    elif kind:
        text = _("This is not a zip but a file of the kind %(kind)s. Pack the folder as a zip and upload that.")
        report.error("not_a_zip", text, kind=kind)
    else:
        report.error("not_a_zip", _("This is not a zip. Pack the folder as a zip and upload that."))


def _say_split(report: Report) -> None:
    text = _("This is one part of a zip that was split. Join the parts, or zip the folder again as one file.")
    report.error("zip_split", text)
