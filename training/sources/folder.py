"""Folders of the server below IMPORT_ROOTS. No path leaves its root and no link is followed, whenever it was made.

Every step is opened from the folder before it (openat with O_NOFOLLOW): there is no moment between a look and its use.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from django.conf import settings

from training.algorithms.base import Message
from training.algorithms.base import gettext_noop as _
from training.sources.base import LISTED, Entry, Item, SourceError

STEP = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # NONBLOCK: a pipe must not make us wait


def available() -> bool:
    return bool(settings.IMPORT_ROOTS)


class Source:
    parallel = 1

    def __init__(self, where: str) -> None:
        """`where` is an absolute path in one of IMPORT_ROOTS, or "" for the list of those. Raises SourceError."""
        self.where = where
        self.root: Path | None = None
        self.parts: tuple[str, ...] = ()
        if where:
            self.root, self.parts = _place(where)
        with self._open() as opened:
            self.is_file = opened is not None and stat.S_ISREG(os.fstat(opened).st_mode)

    def zip_item(self) -> Item | None:
        if not self.is_file:
            return None
        with self._open() as opened:
            assert opened is not None
            found = os.fstat(opened)
        return Item(PurePosixPath(self.where).name, "", found.st_size, str(found.st_mtime_ns))

    def items(self) -> Iterator[Item]:
        with self._open() as top:
            assert top is not None  # an import names a folder
            for folder, folders, files, opened in os.fwalk(".", dir_fd=top, follow_symlinks=False, onerror=_fail):
                folders.sort()
                for name in [*folders, *sorted(files)]:
                    yield _item(PurePosixPath(folder, name), os.stat(name, dir_fd=opened, follow_symlinks=False))

    @contextmanager
    def read(self, item: Item, start: int = 0) -> Iterator[BinaryIO]:
        with self._open(*PurePosixPath(item.key).parts) as opened:
            assert opened is not None
            now = os.fstat(opened)
            if not stat.S_ISREG(now.st_mode) or (now.st_size, str(now.st_mtime_ns)) != (item.size, item.version):
                raise SourceError(Message(_("%(name)s changed while it was copied."), {"name": item.name}))
            with os.fdopen(os.dup(opened), "rb") as file:
                file.seek(start)
                yield file

    def listing(self) -> list[Entry]:
        if self.root is None:
            return [Entry(str(root), str(root), folder=True) for root in settings.IMPORT_ROOTS]
        if self.is_file:
            raise SourceError(Message(_("%(where)s is a file. Open the folder that it is in."), {"where": self.where}))
        with self._open() as top:
            assert top is not None
            with os.scandir(top) as found:
                entries = [entry for entry in map(self._entry, found) if entry]
        return sorted(entries, key=lambda entry: (not entry.folder, entry.name))[:LISTED]

    def _entry(self, found: "os.DirEntry[str]") -> Entry | None:
        where = f"{self.where.rstrip('/')}/{found.name}"
        hidden = found.name.startswith(".") or not found.name.isprintable()
        if found.is_dir(follow_symlinks=False) and not hidden:
            return Entry(found.name, where, folder=True)
        if found.is_file(follow_symlinks=False) and found.name.lower().endswith(".zip") and not hidden:
            return Entry(found.name, where, folder=False, size=found.stat(follow_symlinks=False).st_size)
        return None

    @contextmanager
    def _open(self, *below: str) -> Iterator[int | None]:
        """A descriptor of the place, or of what is `below` it; None for the list of roots. Raises SourceError."""
        opened = self._descriptor(below) if self.root else None
        try:
            yield opened
        finally:
            if opened is not None:
                os.close(opened)

    def _descriptor(self, below: tuple[str, ...]) -> int:
        assert self.root is not None
        opened = -1
        try:
            opened = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            for part in (*self.parts, *below):
                before = opened
                opened = os.open(part, STEP, dir_fd=before)
                os.close(before)
        except OSError as error:
            if opened != -1:
                os.close(opened)
            raise _refused(error, "/".join((self.where.rstrip("/"), *below))) from error
        return opened


def _fail(error: OSError) -> None:
    """A folder that cannot be read must not be taken for an empty one."""
    raise _refused(error, str(error.filename))


def _place(where: str) -> tuple[Path, tuple[str, ...]]:
    """The root that `where` is in, and the steps from there. Raises SourceError."""
    path = PurePosixPath(where)
    if not where.isprintable() or ".." in path.parts:
        raise _outside(where)
    for root in settings.IMPORT_ROOTS:
        with suppress(ValueError):
            return Path(root), path.relative_to(root).parts
    raise _outside(where)


def _outside(where: str) -> SourceError:
    return SourceError(Message(_("%(where)s is in no folder that imports may come from."), {"where": where}))


def _refused(error: OSError, where: str) -> Exception:
    if error.errno == errno.ELOOP:
        return SourceError(Message(_("%(where)s is, or is behind, a link. Links are not followed."), {"where": where}))
    if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG):
        return SourceError(Message(_("There is no %(where)s."), {"where": where}))
    if error.errno in (errno.EACCES, errno.EPERM):
        return SourceError(Message(_("The console may not read %(where)s."), {"where": where}))
    return error


def _item(path: PurePosixPath, found: os.stat_result) -> Item:
    name = _decoded(str(path)) + ("/" if stat.S_ISDIR(found.st_mode) else "")
    size = found.st_size if stat.S_ISREG(found.st_mode) else 0
    return Item(name, str(path), size, str(found.st_mtime_ns), found.st_mode)


def _decoded(name: str) -> str:
    """The name as its writer meant it: UTF-8, else cp949 (Korean Windows). Raises SourceError."""
    for encoding in ("utf-8", "cp949"):
        with suppress(UnicodeDecodeError):
            return os.fsencode(name).decode(encoding)
    text = _("The name %(name)s is neither UTF-8 nor cp949. Rename the file.")
    raise SourceError(Message(text, {"name": ascii(name)}))
