"""Hostile zips: what must never be unpacked."""

import stat
import struct
import zipfile

from tests.broken.case import CLASSIFICATION, Case, Expected, error
from tests.broken.zips import Entry, flags, headers, info, method, offset, packed, pets, unpacked_size, with_fields
from tests.corpus import Files, link

CAT = "train/cat/0.png"
MIB = 1024 * 1024


def hostile(name: str, make, *problems: Expected, **settings: int) -> Case:
    return Case(name, CLASSIFICATION, make, problems, settings)


def entries_zip(*more: Entry) -> bytes:
    """The good zip with these entries after its own."""
    return packed([*pets().items(), *more])


def deflated(files: Files) -> bytes:
    return packed(files, zipfile.ZIP_DEFLATED)


def overlapping() -> bytes:
    """The table sends the last entry into the bytes of the first, as in Fifield's "better zip bomb" (2019)."""
    raw = packed({"train/a": b"x" * 500, "train/b": b"x" * 500})
    return with_fields(raw, "train/b", offset(10))


def same_bytes() -> bytes:
    """Every entry of the table is the same file."""
    raw = packed(pets())
    return with_fields(raw, "train/cat/1.png", offset(headers(raw, CAT)[0]))


def claims(size: int) -> bytes:
    """An entry whose headers say that it holds `size` bytes."""
    return with_fields(packed(pets()), CAT, unpacked_size(size))


def huge_claim() -> bytes:
    """An entry that claims 2**60 bytes, in zip64's extra field (APPNOTE 4.5.3)."""
    made = zipfile.ZipInfo(CAT)
    made.extra = struct.pack("<HHQ", 1, 8, 2**60)
    return with_fields(packed([(made, b"x")]), CAT, (-1, 24, "<L", 0xFFFFFFFF))


def encrypted(*names: str) -> bytes:
    raw = packed(pets())
    for name in names:
        raw = with_fields(raw, name, flags(1))
    return raw


def leaves(name: str) -> Expected:
    return error("path_leaves_folder", name, "“..”", "Remove the entry")


def absolute(name: str) -> Expected:
    return error("absolute_path", name, "absolute", "Zip the folder")


NO_FILE = ("symbolic link or a device", "Put the file itself")
BOMB = ("-fold", "limit is 100", "zip bomb", "without compression")
METHOD = ("“deflate”",)

CASES = [
    hostile("path that climbs out", lambda: pets() | {"../evil.png": b"x"}, leaves("../evil.png")),
    hostile("path that climbs out later", lambda: pets() | {"train/../../a": b"x"}, leaves("train/../../a")),
    hostile("path that climbs by backslash", lambda: pets() | {"train\\..\\..\\a": b"x"}, leaves("train/../../a")),
    hostile("path that goes up and stays inside", lambda: pets() | {"train/x/../a": b"x"}, leaves("train/x/../a")),
    hostile("absolute path", lambda: entries_zip(("/etc/evil.png", b"x")), absolute("/etc/evil.png")),
    hostile("Windows drive", lambda: pets() | {"C:\\pets\\evil.png": b"x"}, absolute("C:/pets/evil.png")),
    hostile("Windows network path", lambda: pets() | {"\\\\server\\share\\a": b"x"}, absolute("//server/share/a")),
    hostile(
        "three paths that leave, all of them listed",
        lambda: pets() | {"../a": b"", "/b": b"", "c/../../d": b""},
        leaves("../a"),
        absolute("/b"),
        leaves("c/../../d"),
    ),
    hostile(
        "symbolic link",
        lambda: entries_zip(link("train/cat/link.png", "/etc/passwd")),
        error("not_a_file", "train/cat/link.png", *NO_FILE),
    ),
    hostile(
        "symbolic link to a folder, and a file through it",
        lambda: entries_zip(link("train/cow", "/tmp"), ("train/cow/a.png", b"x")),
        error("not_a_file", "train/cow", *NO_FILE),
    ),
    hostile(
        "devices and a pipe",
        lambda: entries_zip(
            (info("train/cat/disk", stat.S_IFBLK | 0o666), b""),
            (info("train/cat/tty", stat.S_IFCHR | 0o666), b""),
            (info("train/cat/pipe", stat.S_IFIFO | 0o666), b""),
        ),
        *(error("not_a_file", f"train/cat/{name}", *NO_FILE) for name in ("disk", "tty", "pipe")),
    ),
    hostile(
        "bomb: one entry of zeros",
        lambda: deflated(pets() | {"train/cat/zeros.png": bytes(20 * MIB)}),
        error("ratio_too_high", "train/cat/zeros.png", *BOMB),
    ),
    hostile(
        "bomb: many small entries",
        lambda: deflated({f"train/cat/{n}.png": bytes(MIB) for n in range(12)}),
        error("ratio_too_high", "", *BOMB),
    ),
    hostile(
        "bomb: entries that overlap",
        overlapping,
        error("overlap", "train/a", "shares its bytes with train/b", "Make the zip again"),
    ),
    hostile(
        "bomb: two entries of the same bytes",
        same_bytes,
        error("overlap", CAT, "shares its bytes with train/cat/1.png", "Make the zip again"),
    ),
    hostile(
        "bomb: an entry that claims 4 GiB",
        lambda: claims(0xFFFFFFF0),
        error("ratio_too_high", CAT, *BOMB),
    ),
    hostile(
        "more than the limit of everything",
        pets,
        error("too_large", "", "limit is 5000", "Split it into several datasets"),
        ZIP_MAX_BYTES=5000,
    ),
    hostile(
        "more than the disk has room for",
        huge_claim,
        error("disk_full", "", "are free on the console's disk", "Make room"),
        ZIP_MAX_BYTES=2**62,
        ZIP_MAX_RATIO=2**62,
    ),
    hostile(
        "too many entries",
        pets,
        error("too_many_entries", "", "more than 20 entries", "Split it into several datasets"),
        ZIP_MAX_ENTRIES=20,
    ),
    hostile(
        "encrypted entry",
        lambda: encrypted(CAT),
        error("encrypted", CAT, "Zip it without a password"),
    ),
    hostile(
        "two encrypted entries, both listed",
        lambda: encrypted(CAT, "validation/dog/1.png"),
        error("encrypted", CAT, "without a password"),
        error("encrypted", "validation/dog/1.png", "without a password"),
    ),
    hostile(
        "strongly encrypted entry",
        lambda: with_fields(packed(pets()), CAT, flags(0x41)),
        error("encrypted", CAT, "without a password"),
    ),
    hostile(
        "AES as WinZip and 7-Zip write it",
        lambda: with_fields(packed(pets()), CAT, flags(1), method(99)),
        error("encrypted", CAT, "without a password"),
    ),
    *(
        hostile(
            f"compressed with {name}",
            lambda number=number: packed({"train/cat/0.png": b"x" * 99}, number),
            error("compression_method", CAT, name, *METHOD),
        )
        for number, name in ((zipfile.ZIP_BZIP2, "bzip2"), (zipfile.ZIP_LZMA, "LZMA"))
    ),
    hostile(
        "compressed with Deflate64, as Windows does above 2 GB",
        lambda: with_fields(packed(pets()), CAT, method(9)),
        error("compression_method", CAT, "Deflate64", *METHOD),
    ),
    hostile(
        "compressed with a method that nobody knows",
        lambda: with_fields(packed(pets()), CAT, method(77)),
        error("compression_method", CAT, "77", *METHOD),
    ),
]
