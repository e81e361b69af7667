"""A training's log on the page: its end, what came since, and the lines that contain a word."""

from collections import deque
from dataclasses import dataclass
from pathlib import Path

TAIL_BYTES = 256 * 1024
MOST_LINES = 1000


@dataclass(frozen=True)
class Part:
    """`text` ends where byte `offset` of the file begins; `cut` says that something before it was left out."""

    text: str
    offset: int
    cut: bool = False


def tail(path: Path, most: int = TAIL_BYTES) -> Part:
    """The end of the log, whole lines. An absent log is an empty one: nothing has been written yet."""
    size = path.stat().st_size if path.is_file() else 0
    part = since(path, max(0, size - most))
    if size <= most:
        return part
    return Part(part.text.partition("\n")[2], part.offset, cut=True)


def since(path: Path, offset: int, most: int = 4 * TAIL_BYTES) -> Part:
    """The whole lines from byte `offset` on. A log that has become shorter was begun anew: then all of it."""
    if not path.is_file():
        return Part("", 0)
    with path.open("rb") as file:
        start = offset if 0 <= offset <= path.stat().st_size else 0
        file.seek(start)
        read = file.read(most)
    whole = read[: read.rfind(b"\n") + 1]  # a line, or a letter, that is only half written comes next time
    return Part(whole.decode(errors="replace"), start + len(whole))


def matching(path: Path, word: str) -> Part:
    """The last lines of the whole log that contain `word`, upper and lower case alike."""
    if not path.is_file():
        return Part("", 0)
    wanted, found, count = word.casefold(), deque[str](maxlen=MOST_LINES), 0
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            if wanted in line.casefold():
                found.append(line)
                count += 1
    return Part("".join(found), 0, cut=count > len(found))
