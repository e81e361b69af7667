"""The memory that a training step frees stays with the process for the next step."""

import platform
import subprocess
import sys

import pytest

# Prints how many pages the system cleared while four blocks of 20 MB, those of a step, came from the C library and went
# back to it ten times. A tensor would mix small blocks of its own in, and where one of them lies at the heap's end,
# nothing is given back to the system anyway.
FAULTS_OF_LATER_STEPS = """
import ctypes, resource, sys
from training.trainer import speed

libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.memset.argtypes, libc.free.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t], [ctypes.c_void_p]

def faults(steps):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(steps):
        blocks = [libc.malloc(20 * 2**20) for _ in range(4)]
        for block in blocks:
            libc.memset(block, 1, 20 * 2**20)
        for block in reversed(blocks):
            libc.free(block)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

if sys.argv[1] == "kept":
    speed.keep_memory()
faults(1)
print(faults(10))
"""


def faults_of_later_steps(how):
    # In a process of its own: what the C library was told lasts
    command = [sys.executable, "-c", FAULTS_OF_LATER_STEPS, how]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told")
def test_memory_of_a_step_is_kept_for_the_next_one():
    assert 10 * faults_of_later_steps("kept") < faults_of_later_steps("given back")
