"""Where an import may come from: an allowed folder of the server, or a bucket of S3-compatible storage.

Each kind is a module with `Source(where)`: `zip_item()`, `items()`, `read()`, and `listing()` for the page. Adding one
is adding a module here.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from importlib import import_module
from typing import Protocol

from training.algorithms.base import Message, gettext_noop
from training.sources.base import Entry, Item, Readable, SourceError

WHERE_LENGTH = 1024  # an S3 key's limit
KINDS = {"folder": "training.sources.folder", "s3": "training.sources.s3"}

__all__ = ["KINDS", "Entry", "Item", "Readable", "Source", "SourceError", "available", "open_source"]


class Source(Protocol):
    parallel: int  # how many small files are worth fetching at once

    def zip_item(self) -> Item | None:
        """The zip, when `where` is a file and not a folder."""

    def items(self) -> Iterator[Item]:
        """Everything below the folder, folders and links included."""

    def read(self, item: Item, start: int = 0) -> AbstractContextManager[Readable]:
        """A file from byte `start` on. Raises SourceError, OSError."""

    def listing(self) -> list[Entry]:
        """The folders and zips directly in it."""


def available() -> list[str]:
    """The kinds that this installation has set up."""
    return [kind for kind, path in KINDS.items() if import_module(path).available()]


def open_source(kind: str, where: str) -> Source:
    """Raises SourceError when there is no such place, or it is none that imports may come from."""
    if kind not in available():
        raise SourceError(Message(gettext_noop("Imports of this kind are not set up on this console.")))
    if len(where) > WHERE_LENGTH:
        text = gettext_noop("At most %(length)s characters are allowed (it has %(now)s).")
        raise SourceError(Message(text, {"length": WHERE_LENGTH, "now": len(where)}))
    source: Source = import_module(KINDS[kind]).Source(where)
    return source
