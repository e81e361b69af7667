"""What is no zip, and zips that were damaged on their way."""

import gzip
import io
import lzma
import struct
import tarfile
import zipfile

from tests.broken.case import CLASSIFICATION, Case, Expected, error
from tests.broken.zips import (
    END,
    END64,
    LOCATOR,
    checksum,
    headers,
    packed,
    packed_size,
    patched,
    pets,
    unpacked_size,
    with_fields,
)

CAT, LAST = "train/cat/0.png", "validation/dog/1.png"


def broken(name: str, make, *problems: Expected) -> Case:
    return Case(name, CLASSIFICATION, make, problems)


def tar() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        member = tarfile.TarInfo(CAT)
        member.size = len(pets()[CAT])
        archive.addfile(member, io.BytesIO(pets()[CAT]))
    return out.getvalue()


def without(start: int, end: int) -> bytes:
    """The good zip without the bytes from `start` to `end`."""
    raw = packed(pets())
    return raw[:start] + raw[end:]


def zip64(table_bytes: int = -1, table_offset: int = -1) -> bytes:
    """The good zip with zip64's end record and locator (APPNOTE 4.3.14, 4.3.15), which may lie."""
    raw = packed(pets())
    at = raw.rfind(END)
    count, size, start = struct.unpack_from("<HLL", raw, at + 10)
    numbers = (size if table_bytes < 0 else table_bytes, start if table_offset < 0 else table_offset)
    record = END64 + struct.pack("<QHHLLQQQQ", 44, 45, 45, 0, 0, count, count, *numbers)
    locator = LOCATOR + struct.pack("<LQL", 0, at, 1)
    end = patched(raw[at:], (8, "<H", 0xFFFF), (10, "<H", 0xFFFF), (12, "<L", 0xFFFFFFFF), (16, "<L", 0xFFFFFFFF))
    return raw[:at] + record + locator + end


def spanned(disk: int) -> bytes:
    """The last part of a zip that was split: its end record counts `disk` earlier ones."""
    raw = packed(pets())
    at = raw.rfind(END)
    return patched(raw, (at + 4, "<H", disk), (at + 6, "<H", 0))


def deflated_with(name: str, *fields: tuple[int, int, str, int]) -> bytes:
    return with_fields(packed(pets() | {name: b"\x89PNG" + bytes(3000)}, zipfile.ZIP_DEFLATED), name, *fields)


def overwritten(name: str) -> bytes:
    """A few bytes inside an entry are others than were zipped."""
    raw = packed(pets())
    at = headers(raw, name)[0] + 30 + len(name) + 100
    return raw[:at] + bytes(byte ^ 0xFF for byte in raw[at : at + 20]) + raw[at + 20 :]


def overwritten_table() -> bytes:
    """The table of contents begins with other bytes than it should."""
    raw = packed(pets())
    at = headers(raw, CAT)[1]
    return raw[:at] + b"\0" * 40 + raw[at + 40 :]


def no_zip(kind: str) -> Expected:
    return error("not_a_zip", "", kind, "Pack the folder as a zip")


def entry(name: str, why: str) -> Expected:
    return error("entry_damaged", name, why, "Make the zip again")


CUT = error("zip_cut_off", "", "the end of the zip is missing", "Upload it again")
SPLIT = error("zip_split", "", "one part of a zip that was split", "Join the parts")
HALF = len(packed(pets())) // 2
AGAIN = "Make it again"

CASES = [
    broken("empty file", lambda: b"", error("not_a_zip", "", "The file is empty", "again")),
    broken("plain text", lambda: b"hello, this is no zip\n" * 20, no_zip("not a zip")),
    broken("an image in place of a zip", lambda: pets()[CAT], no_zip("PNG")),
    broken("RAR archive", lambda: b"Rar!\x1a\x07\x01\x00" + bytes(500), no_zip("RAR")),
    broken("7z archive", lambda: b"7z\xbc\xaf\x27\x1c\x00\x04" + bytes(500), no_zip("7z")),
    broken("tar archive", tar, no_zip("tar")),
    broken("tar.gz archive", lambda: gzip.compress(tar()), no_zip("gzip")),
    broken("tar.xz archive", lambda: lzma.compress(tar()), no_zip("xz")),
    broken("gzip of a zip", lambda: gzip.compress(packed(pets())), no_zip("gzip")),
    broken("zip of nothing", lambda: packed({}), error("zip_empty", "", "no files", "train")),
    broken(
        "zip of what an operating system left only",
        lambda: packed({"__MACOSX/._a": b"x", ".DS_Store": b"x"}),
        error("zip_empty", "", "no files", "train"),
    ),
    broken("cut off at its end", lambda: packed(pets())[:-12], CUT),
    broken("cut off in its table", lambda: packed(pets())[:-700], CUT),
    broken("cut off halfway", lambda: packed(pets())[:HALF], CUT),
    broken("cut off after its first bytes", lambda: packed(pets())[:40], CUT),
    broken("end record alone is cut", lambda: b"PK\x05\x06" + bytes(5), CUT),
    broken(
        "without its first bytes", lambda: without(0, 100), error("zip_damaged", "", "100 bytes are missing", AGAIN)
    ),
    broken(
        "without bytes in its middle",
        lambda: without(HALF, HALF + 5000),
        error("zip_damaged", "", "5000 bytes are missing", AGAIN),
    ),
    broken("its table overwritten", overwritten_table, error("zip_damaged", "", AGAIN)),
    broken("first part of a split zip", lambda: b"PK\x07\x08" + packed(pets())[:HALF], SPLIT),
    broken("last part of a split zip", lambda: spanned(3), SPLIT),
    broken("bytes changed inside an entry", lambda: overwritten(LAST), entry(LAST, "Bad CRC-32")),
    broken(
        "wrong checksums of two entries, both listed",
        lambda: with_fields(with_fields(packed(pets()), CAT, checksum(1)), LAST, checksum(2)),
        entry(CAT, "Bad CRC-32"),
        entry(LAST, "Bad CRC-32"),
    ),
    broken(
        "entry that holds more than it says",
        lambda: deflated_with("train/cat/more.png", unpacked_size(100)),
        entry("train/cat/more.png", "Bad CRC-32"),
    ),
    broken(
        "entry that holds less than it says",
        lambda: deflated_with("train/cat/less.png", unpacked_size(3500)),
        entry("train/cat/less.png", "holds less than its header says"),
    ),
    broken(
        "compressed bytes that are none",
        lambda: with_fields(packed(pets()), CAT, (8, 10, "<H", 8)),
        entry(CAT, "decompressing"),
    ),
    broken(
        "packed size that reaches into the next entry",
        lambda: with_fields(packed(pets()), CAT, packed_size(9000)),
        error("overlap", CAT, "shares its bytes", "Make the zip again"),
    ),
    broken(
        "names in table and entry differ",
        lambda: packed(pets()).replace(b"train/cat/0.png", b"train/cat/9.pnx", 1),
        entry(CAT, "differ"),
    ),
    broken("zip64 table larger than the file", lambda: zip64(table_bytes=2**40), error("zip_damaged", "", AGAIN)),
    broken("zip64 table at an impossible place", lambda: zip64(table_offset=2**63), error("zip_damaged", "", AGAIN)),
    broken(
        "zip64 sizes that are not there",
        lambda: with_fields(packed(pets()), CAT, (-1, 24, "<L", 0xFFFFFFFF)),
        error("ratio_too_high", CAT, "-fold", "without compression"),
    ),
]
