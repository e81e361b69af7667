"""Disks that refuse, for tests: a small one, a full one, one that may only be read. Real mounts, which root makes."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

LIMIT = "this needs root and the right to mount a tmpfs"


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """A tmpfs of `size` ("8m") at `folder`, empty. Skips the test where none can be mounted."""
    folder.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    made = subprocess.run(command, capture_output=True, check=False)
    if made.returncode:
        pytest.skip(f"{LIMIT}: {made.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def read_only(folder: Path) -> None:
    """From now on nothing can be written to a disk that small_disk() made. Files open for writing keep it from that."""
    subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True, capture_output=True)


def fill(folder: Path, leave: int = 0) -> Path:
    """Take all of the disk of `folder` but `leave` bytes (whole pages). -> the file that does: delete it for room."""
    ballast = folder / "ballast"
    found = os.statvfs(folder)
    left = max(4096, found.f_bavail * found.f_frsize - leave) // 4096
    with ballast.open("wb", buffering=0) as file, suppress(OSError):  # others write meanwhile: then it is full earlier
        while left or not leave:
            left -= file.write(b"\0" * 4096) // 4096
    return ballast
