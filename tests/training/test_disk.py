"""What an error of the disk means, in words; the disks that can be had for a test are in test_disk_runs.py."""

import errno
import os
import sqlite3

import pytest

from training import disk

FULL, LIMITED, BROKEN = str(disk.FULL), str(disk.LIMITED), str(disk.BROKEN)


@pytest.mark.parametrize(
    ("number", "reason"),
    [(errno.ENOSPC, FULL), (errno.EDQUOT, FULL), (errno.EFBIG, LIMITED), (errno.EIO, BROKEN)],
)
def test_what_the_system_says(number, reason):
    assert str(disk.reason(OSError(number, os.strerror(number), "/srv/console/trainings/a/events.jsonl"))) == reason


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (
            RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)"),
            FULL,
        ),  # safetensors
        (RuntimeError("Error while serializing: I/O error: Disk quota exceeded (os error 122)"), FULL),
        (RuntimeError("[enforce fail at inline_container.cc:668] . unexpected pos 64 vs 0"), FULL),  # torch
        (sqlite3.OperationalError("database or disk is full"), FULL),
        (RuntimeError("Error while serializing: I/O error: File too large (os error 27)"), LIMITED),
        (RuntimeError("Error while serializing: I/O error: Input/output error (os error 5)"), BROKEN),
        (sqlite3.OperationalError("disk I/O error"), BROKEN),
    ],
)
def test_what_a_library_says_that_gives_no_number(error, reason):
    assert str(disk.reason(error)) == reason


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EROFS])
def test_a_folder_that_may_not_be_written_is_named_by_its_last_parts(number):
    said = str(disk.reason(OSError(number, os.strerror(number), "/srv/console/trainings/a/events.jsonl")))
    assert "may not write here (a/events.jsonl)" in said


def test_the_reason_behind_another_error_is_found():
    error = RuntimeError("the checkpoint was not saved")
    error.__cause__ = OSError(errno.EDQUOT, "Disk quota exceeded")
    assert str(disk.reason(error)) == FULL


def test_a_real_error_of_input_is_the_disks():
    """Nothing lies at the first address of a process, and Linux says so with EIO."""
    with open("/proc/self/mem", "rb", buffering=0) as file, pytest.raises(OSError, match="Input/output") as caught:
        file.read(1)
    assert str(disk.reason(caught.value)) == BROKEN


@pytest.mark.parametrize("error", [KeyError("boxes"), ConnectionResetError(104, "reset"), FileNotFoundError(2, "gone")])
def test_what_is_no_fault_of_the_disk(error):
    assert disk.reason(error) is None
