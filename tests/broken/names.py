"""Zips whose names are the problem: two of one name, too long, control characters, files that are folders."""

from tests.broken.case import CLASSIFICATION, Case, Expected, error
from tests.broken.zips import info, packed, pets

CAT = "train/cat/0.png"
ONE_OF_THEM = "Rename or remove one of them"


def named(name: str, make, *problems: Expected) -> Case:
    return Case(name, CLASSIFICATION, make, problems)


def and_also(*names: str, content: bytes = b"x") -> bytes:
    """The good zip with more entries of these names after it."""
    return packed([*pets().items(), *((info(name), content) for name in names)])


def twice(file: str, other: str) -> Expected:
    return error("duplicate_entry", file, f"the other one: {other}", ONE_OF_THEM)


def control(shown: str) -> Expected:
    return error("control_character", shown, "control character", "Rename the file")


CASES = [
    named("two entries of one name", lambda: and_also(CAT), twice(CAT, CAT)),
    named("three entries of one name", lambda: and_also(CAT, CAT), twice(CAT, CAT), twice(CAT, CAT)),
    named("names that differ in capitals", lambda: and_also("train/cat/0.PNG"), twice("train/cat/0.PNG", CAT)),
    named("folders that differ in capitals", lambda: and_also("train/Cat/0.png"), twice("train/Cat/0.png", CAT)),
    named(
        "names that differ in their Unicode form",
        lambda: and_also("train/cat/é.png", "train/cat/e\u0301.png"),
        twice("train/cat/é.png", "train/cat/é.png"),
    ),
    named("names that differ in separators", lambda: and_also("train\\cat\\0.png"), twice(CAT, CAT)),
    named("names that differ in a dot", lambda: and_also("./train//cat/0.png"), twice(CAT, CAT)),
    named("line break in a name", lambda: and_also("train/cat/a\nb.png"), control("'train/cat/a\\nb.png'")),
    named(
        "NUL in a name",
        lambda: and_also("train/cat/aXb.png").replace(b"aXb.png", b"a\0b.png"),
        control("'train/cat/a\\x00b.png'"),
    ),
    named("escape sequence in a name", lambda: and_also("train/cat/\x1b[2J.png"), control("'train/cat/\\x1b[2J.png'")),
    named(
        "name of 270 bytes",
        lambda: and_also("train/cat/" + "가" * 90 + ".png"),
        error("name_too_long", "train/cat/" + "가" * 90 + ".png", "284 bytes", "Shorten it", "each name in it to 255"),
    ),
    named(
        "path of 2,000 bytes",
        lambda: and_also("train/" + "x" * 99 + "/" + "y/" * 1000 + "0.png"),
        error("name_too_long", "train/" + "x" * 99 + "/" + "y/" * 1000 + "0.png", "Shorten it"),
    ),
    named(
        "file that is a folder too",
        lambda: and_also("train/dog/0.png/1.png"),
        error("file_and_folder", "train/dog/0.png", "a file and a folder at the same time", "Rename one"),
    ),
    named(
        "folder entry of a file's name",
        lambda: and_also("train/dog/0.png/"),
        error("file_and_folder", "train/dog/0.png", "Rename one"),
    ),
]
