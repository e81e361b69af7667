"""A disk that takes no more: what an error means, in plain words, and how much room there is.

Knows neither Django nor torch: the trainer, the workers and the pages all ask here.
"""

import errno
import os
import shutil
import stat
from contextlib import suppress
from pathlib import Path

from training.algorithms.base import Message, gettext_noop

FULL_NUMBERS = (errno.ENOSPC, errno.EDQUOT)
LIMITED_NUMBERS = (errno.EFBIG,)
CLOSED_NUMBERS = (errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EEXIST)
BROKEN_NUMBERS = (errno.EIO,)
# Libraries that write files themselves give no errno: safetensors (Rust), torch (its zip writer), SQLite.
FULL_WORDS = (
    "no space left on device",
    "disk quota exceeded",
    "database or disk is full",
    "os error 28)",
    "os error 122)",
    "pytorchstreamwriter failed writing",  # torch does not say more, and the disk is why
    "inline_container.cc",
    "iostream error",
)
LIMITED_WORDS = ("file too large", "os error 27)")
CLOSED_WORDS = ("read-only file system", "readonly database", "unable to open database file", "os error 30)")
BROKEN_WORDS = ("disk i/o error", "input/output error")

FULL = Message(
    gettext_noop("The disk is full, or its quota is used up. Make room: the page “Disk space” shows what uses it.")
)
NO_ROOM = gettext_noop(
    "It needs %(needed)s, and %(free)s of the disk are free. Make room: the page “Disk space” shows what uses it."
)
LIMITED = Message(
    gettext_noop("A file may not become so large here: raise the limit (ulimit -f) or move the files to another disk.")
)
CLOSED = gettext_noop(
    "The console may not write here (%(where)s): the disk or the folder is read-only, or belongs to someone else. "
    "Give it to the user that runs the console."
)
BROKEN = Message(gettext_noop("The disk failed to read or write. It may be full or broken: look at the system's log."))


def reason(error: BaseException | None) -> Message | None:
    """Why the disk refused, when that is what `error`, or the error behind it, says; else None."""
    seen: set[int] = set()  # a chain may lead back to where it began
    while error is not None and id(error) not in seen:
        if found := _reason(error):
            return found
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return None


def _reason(error: BaseException) -> Message | None:
    number = error.errno if isinstance(error, OSError) else None
    words = "" if number else str(error).lower()
    if number in FULL_NUMBERS or any(word in words for word in FULL_WORDS):
        return FULL
    if number in LIMITED_NUMBERS or any(word in words for word in LIMITED_WORDS):
        return LIMITED
    closed = number in CLOSED_NUMBERS and getattr(error, "filename", None)  # a process that may not be killed has none
    if closed or number == errno.EROFS or any(word in words for word in CLOSED_WORDS):
        return Message(CLOSED, {"where": _where(error)})
    if number in BROKEN_NUMBERS or any(word in words for word in BROKEN_WORDS):
        return BROKEN
    return None


def _where(error: BaseException) -> str:
    """The last two parts of the path that the error names: enough to find it, and no more of this machine."""
    name = getattr(error, "filename", None)
    return "/".join(Path(os.fsdecode(name)).parts[-2:]) if isinstance(name, str | bytes) else "CONSOLE_HOME"


def probe(folder: Path) -> Message | None:
    """What the disk says now to a small file in `folder`; None when it takes it. Nothing is left there."""
    path = folder / f"probe.{os.getpid()}.tmp"
    try:
        path.write_bytes(b"\0" * 65536)
        with path.open("rb+") as file:
            os.fsync(file.fileno())
    except OSError as error:
        return reason(error) or Message("%(error)s", {"error": error.strerror or str(error)})
    finally:
        with suppress(OSError):  # there may be none to remove, on a disk that does not let us
            path.unlink(missing_ok=True)
    return None


def no_room(folder: Path, needed: int) -> Message | None:
    """A sentence when `needed` bytes do not fit on the disk of `folder`. Raises OSError."""
    free = free_bytes(folder)
    if needed <= free:
        return None
    return Message(NO_ROOM, {"needed": readable(needed), "free": readable(free)})


def free_bytes(folder: Path) -> int:
    """What this user may still write on the disk of `folder`. Raises OSError."""
    return shutil.disk_usage(folder).free


def size_of(path: Path) -> int:
    """Bytes that a file, or everything below a folder, holds of the disk; 0 when it is not there.

    Counts blocks, as the disk does, and of a file with several names (a dataset's versions share theirs) only this
    one's share. One folder's names at a time are in memory. What is deleted meanwhile does not count.
    """
    try:
        found = path.lstat()
    except FileNotFoundError:
        return 0
    total, folders = _held(found), [str(path)] if stat.S_ISDIR(found.st_mode) else []
    while folders:
        try:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    total += _held(entry.stat(follow_symlinks=False))
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
        except FileNotFoundError:
            continue
    return total


def _held(found: os.stat_result) -> int:
    return found.st_blocks * 512 // (1 if stat.S_ISDIR(found.st_mode) else max(1, found.st_nlink))


def readable(size: float) -> str:
    """1536 -> "1.5 KiB". For stored messages, whose parameters are not translated."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"
