"""What every source of an import speaks in."""

from dataclasses import dataclass
from typing import Protocol

from training.algorithms.base import Message

LISTED = 500  # entries of a folder that a page shows


@dataclass(frozen=True)
class Item:
    """One file to copy. `name` is its path below the source, `key` how the source itself calls it.

    `mode` is a Unix mode, 0 when there is none: what is no regular file is not copied, only named. `version` changes
    when the file does.
    """

    name: str
    key: str
    size: int
    version: str = ""
    mode: int = 0


@dataclass(frozen=True)
class Entry:
    """A line in the page's browser. `where` is what an import would name."""

    name: str
    where: str
    folder: bool
    size: int = 0


class Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


class SourceError(Exception):
    """The source does not give what was asked of it. The message is for a person."""

    def __init__(self, message: Message) -> None:
        super().__init__(str(message))
        self.message = message
