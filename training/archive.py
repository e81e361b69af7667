"""The only place that opens a zip. A zip is hostile until shown otherwise.

The table of contents is checked as a whole before the first byte is written; while the entries are
read, what they really hold is counted again (training.unpack). Knows no Django.
"""

import re
import shutil
import stat
import unicodedata
import zipfile
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

from training import zip_table
from training.algorithms.base import gettext_noop as _
from training.report import Report
from training.unpack import CHUNK, DAMAGED, NAME_BYTES, Entry, folders_of, parent_of, write_entries

SMALL = 10 * CHUNK  # bytes: less than this harms nobody, however it was packed
PATH_BYTES = 1024  # of a whole path
IGNORED = {"__macosx", ".ds_store", "thumbs.db", "desktop.ini"}
# bzip2 and LZMA are refused: zipfile unpacks each of their blocks at once, however large it becomes.
METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
OTHER_METHODS = {9: "Deflate64", 12: "bzip2", 14: "LZMA", 93: "Zstandard", 95: "XZ", 98: "PPMd"}
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


@dataclass(frozen=True)
class Limits:
    """`bytes` of everything unpacked; `ratio` unpacked / packed, of an entry over 1 MiB and of a zip over 10 MiB."""

    entries: int
    bytes: int
    ratio: int


def extract(
    path: Path,
    folder: Path,
    limits: Limits,
    report: Report,
    *,
    known: Collection[str],
    progress: Callable[[int, int], None] = lambda done, total: None,
    arrived: Callable[[str, int], None] = lambda path, size: None,
) -> None:
    """Unpack `path` into the existing, empty `folder`; add to `report` what is wrong with the zip.

    One folder around everything is taken off, unless its name is one of `known`, the names that the layout
    expects at the top. Nothing is written when the table of contents has an error. `progress(done, total)`
    counts entries; `arrived(path, bytes)` tells of each small file that was written. Raises OSError when the disk
    does not do its part.
    """
    if not zip_table.check(path, limits.entries, report):
        return
    try:
        archive = zipfile.ZipFile(path)
    except (*DAMAGED, NotImplementedError) as error:
        report.error("zip_damaged", _("The zip is damaged (%(reason)s). Make it again."), reason=str(error))
        return
    with archive:
        entries = _without_root(list(_entries(archive, report)), known)
        if not entries and not report.errors:
            report.error("zip_empty", _("The zip has no files. Zip again the folder that has “train” in it."))
        _check_names(entries, report)
        _check_sizes(entries, folder, limits, report)
        if not report.errors:
            write_entries(archive, entries, folder, report, left=limits.bytes, progress=progress, arrived=arrived)


def _entries(archive: zipfile.ZipFile, report: Report) -> Iterator[Entry]:
    """The entries under clean names, without the ones that only an operating system put there."""
    for info in archive.infolist():
        raw = _decoded(info).replace("\\", "/")
        parts = [part for part in raw.split("/") if part not in ("", ".")]
        if raw.startswith("/") or re.match(r"[A-Za-z]:", raw):
            report.error("absolute_path", _("The path is absolute. Zip the folder, not the whole drive."), raw)
        elif ".." in parts:
            report.error("path_leaves_folder", _("The path leaves the folder (“..”). Remove the entry."), raw)
        elif CONTROL.search(raw):
            report.error("control_character", _("The name has a control character. Rename the file."), repr(raw))
        elif _kind(info) not in (0, stat.S_IFREG, stat.S_IFDIR):
            text = _("This is a symbolic link or a device, not a file. Put the file itself into the zip.")
            report.error("not_a_file", text, raw)
        elif parts and not any(map(_is_ignored, parts)):
            yield Entry(info, "/".join(parts), raw.endswith("/"))


@lru_cache
def _is_ignored(part: str) -> bool:
    return part.casefold() in IGNORED or part.startswith("._")


def _kind(info: zipfile.ZipInfo) -> int:
    """The file type in the entry's Unix mode; 0 when there is none. Not only if the zip says that Unix made it."""
    return stat.S_IFMT(info.external_attr >> 16)


def _decoded(info: zipfile.ZipInfo) -> str:
    """The name as its writer meant it: UTF-8, else cp949 (Korean Windows), else what zipfile made of it; in NFC.

    zipfile reads a name without the UTF-8 flag as cp437, which loses nothing: the bytes can be had back.
    """
    name = info.orig_filename
    if name.isascii():  # then every encoding and form is the same: nearly all names
        return name
    if not info.flag_bits & 0x800:
        raw = name.encode("cp437")
        for encoding in ("utf-8", "cp949"):
            with suppress(UnicodeDecodeError):
                name = raw.decode(encoding)
                break
    return unicodedata.normalize("NFC", name)


def _without_root(entries: list[Entry], known: Collection[str]) -> list[Entry]:
    """Take off the one folder around everything; loose files beside it (a README) stay where they are.

    A folder of a name that the layout knows goes too when train, which every layout needs, is inside it.
    """
    roots = {entry.name.partition("/")[0] for entry in entries if entry.folder or "/" in entry.name}
    tops = {entry.name.partition("/")[0].casefold() for entry in entries}
    if len(roots) != 1:
        return entries
    prefix = f"{roots.pop()}/"
    inside = {entry.name.removeprefix(prefix).partition("/")[0] for entry in entries if entry.name.startswith(prefix)}
    around = "train" in inside and (prefix != "train/" or len(inside.intersection(known)) > 1)
    if tops & {name.casefold() for name in known} and not around:
        return entries
    return [
        Entry(entry.info, entry.name.removeprefix(prefix), entry.folder)
        for entry in entries
        if entry.name + "/" != prefix
    ]


def _check_names(entries: list[Entry], report: Report) -> None:
    """Names that are too long, and two entries that want the same place."""
    seen: dict[str, Entry] = {}
    parents = {entry.name for entry in entries if entry.folder}
    parents |= {parent for folder in {parent_of(entry.name) for entry in entries} for parent in folders_of(folder)}
    for entry in entries:
        length = len(entry.name.encode())
        if length > PATH_BYTES or any(len(part.encode()) > NAME_BYTES for part in entry.name.split("/")):
            text = _(
                "The path is too long (%(length)s bytes). Shorten it to %(path)s, and each name in it to %(name)s."
            )
            report.error("name_too_long", text, entry.name, length=length, path=PATH_BYTES, name=NAME_BYTES)
        other = seen.setdefault(entry.key, entry)
        if other is not entry and not (entry.name == other.name and (entry.folder or other.folder)):
            text = _(
                "Two entries have this name (the other one: %(other)s). Capitals do not tell names apart. "
                "Rename or remove one of them."
            )
            report.error("duplicate_entry", text, entry.name, other=other.name)
        if not entry.folder and entry.name in parents:
            report.error("file_and_folder", _("This is a file and a folder at the same time. Rename one."), entry.name)


def _check_sizes(entries: list[Entry], folder: Path, limits: Limits, report: Report) -> None:
    """Encrypted or unreadable entries, bombs, and whether the disk can hold it all."""
    for entry in entries:
        info = entry.info
        if info.flag_bits & 0x2041:
            report.error("encrypted", _("The file is encrypted. Zip it without a password."), entry.name)
        elif info.header_offset < 0:
            report.error("entry_damaged", _("The zip's table of contents is damaged. Make the zip again."), entry.name)
        elif info.compress_type not in METHODS:
            text = _(
                "The file is compressed by a method that is not supported (%(method)s). Zip it with ordinary “deflate”."
            )
            method = OTHER_METHODS.get(info.compress_type, str(info.compress_type))
            report.error("compression_method", text, entry.name, method=method)
        elif info.file_size > CHUNK and info.file_size > limits.ratio * max(info.compress_size, 1):
            text = _(
                "The file grows %(ratio)s-fold when it is unpacked; the limit is %(limit)s. Is it a zip bomb? If not, "
                "zip it without compression."
            )
            ratio = info.file_size // max(info.compress_size, 1)
            report.error("ratio_too_high", text, entry.name, ratio=ratio, limit=limits.ratio)
    _check_overlaps(entries, report)
    _check_total(entries, folder, limits, report)


def _check_total(entries: list[Entry], folder: Path, limits: Limits, report: Report) -> None:
    """All of it together: many small entries make a bomb as well as a large one does."""
    total = sum(entry.info.file_size for entry in entries)
    ratio = total // max(sum(entry.info.compress_size for entry in entries), 1)
    if total > limits.bytes:
        text = _("The zip unpacks to %(total)s bytes; the limit is %(limit)s. Split it into several datasets.")
        report.error("too_large", text, total=total, limit=limits.bytes)
    elif total > SMALL and ratio > limits.ratio and not report.errors:
        text = _(
            "The zip grows %(ratio)s-fold when it is unpacked; the limit is %(limit)s. Is it a zip bomb? If not, "
            "zip it without compression."
        )
        report.error("ratio_too_high", text, ratio=ratio, limit=limits.ratio)
    elif total > (free := shutil.disk_usage(folder).free):
        text = _(
            "The zip unpacks to %(total)s bytes, but only %(free)s are free on the console's disk. Make room, then "
            "press “Check again”: the zip is kept."
        )
        report.error("disk_full", text, total=total, free=free)


def _check_overlaps(entries: list[Entry], report: Report) -> None:
    """Entries that share their bytes: how a small zip holds petabytes without a high ratio in any one entry."""
    ordered = sorted(entries, key=lambda entry: entry.info.header_offset)
    for entry, following in pairwise(ordered):
        if entry.info.header_offset + 30 + entry.info.compress_size > following.info.header_offset:
            text = _("The file shares its bytes with %(other)s, as in a zip bomb. Make the zip again.")
            report.error("overlap", text, entry.name, other=following.name)
