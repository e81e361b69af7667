"""Zips that no zip program would write: made whole, then changed byte by byte.

Format: PKWARE APPNOTE 4.3.7 (local header), 4.3.12 (central header), 4.3.16 (end record).
"""

import io
import struct
import warnings
import zipfile
from collections.abc import Iterable
from functools import cache

from tests.corpus import Files, classification_files

LOCAL, CENTRAL, END, END64, LOCATOR = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07"
Entry = tuple[zipfile.ZipInfo | str, bytes]


@cache
def _pets() -> Files:
    return classification_files(train=10)


def pets(**more: bytes) -> Files:
    """Cats and dogs that nothing is wrong with: ten images each in train, two in validation."""
    return {**_pets(), **more}


def packed(files: Files | Iterable[Entry], method: int = zipfile.ZIP_STORED, comment: bytes = b"") -> bytes:
    """The zip of these files, or of entries, of which two may have one name."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zipfile's own, about two entries of one name
        for name, content in files.items() if isinstance(files, dict) else files:
            archive.writestr(name, content, compress_type=method)
        archive.comment = comment
    return out.getvalue()


def headers(raw: bytes, name: str) -> tuple[int, int]:
    """Where the entry's local and central header begin."""
    encoded = name.encode()
    local = next(at for at in _found(raw, LOCAL) if raw[at + 30 : at + 30 + len(encoded)] == encoded)
    central = next(at for at in _found(raw, CENTRAL) if raw[at + 46 : at + 46 + len(encoded)] == encoded)
    return local, central


def _found(raw: bytes, signature: bytes) -> Iterable[int]:
    at = raw.find(signature)
    while at >= 0:
        yield at
        at = raw.find(signature, at + 1)


def patched(raw: bytes, *changes: tuple[int, str, int]) -> bytes:
    """`raw` with numbers written into it: (offset, struct format, value) each."""
    out = bytearray(raw)
    for at, kind, value in changes:
        struct.pack_into(kind, out, at, value)
    return bytes(out)


def with_fields(raw: bytes, name: str, *fields: tuple[int, int, str, int]) -> bytes:
    """An entry's fields changed: (offset in the local header or -1, in the central one or -1, format, value) each."""
    local, central = headers(raw, name)
    changes = []
    for in_local, in_central, kind, value in fields:
        changes += [(local + in_local, kind, value)] * (in_local >= 0)
        changes += [(central + in_central, kind, value)] * (in_central >= 0)
    return patched(raw, *changes)


def flags(value: int) -> tuple[int, int, str, int]:
    return 6, 8, "<H", value


def method(value: int) -> tuple[int, int, str, int]:
    return 8, 10, "<H", value


def checksum(value: int) -> tuple[int, int, str, int]:
    return 14, 16, "<L", value


def packed_size(value: int) -> tuple[int, int, str, int]:
    return 18, 20, "<L", value


def unpacked_size(value: int) -> tuple[int, int, str, int]:
    return 22, 24, "<L", value


def offset(value: int) -> tuple[int, int, str, int]:
    return -1, 42, "<L", value


def info(name: str, mode: int = 0) -> zipfile.ZipInfo:
    """An entry made on Unix with this mode, its file type included."""
    made = zipfile.ZipInfo(name)
    made.create_system, made.external_attr = 3, mode << 16
    return made
