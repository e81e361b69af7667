"""Memory that bodies of calls took is given back once they are answered."""

import asyncio
import ctypes
import subprocess
import sys

import pytest

from endpoints.memory import HighWater

# Blocks of the size of a call's body, and one that stays behind them: what is freed before it is the process's for
# good unless it gives it back. A process of its own, for a heap that is nobody else's.
SCRIPT = """
import asyncio, ctypes, psutil
from endpoints.memory import HighWater

libc = ctypes.CDLL(None)
libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
resident = psutil.Process().memory_info
water, blocks = HighWater(), []
before = resident().rss
for _ in range(600):
    block = libc.malloc(100_000)
    ctypes.memset(block, 1, 100_000)
    blocks.append(block)
    water.note(100_000 * len(blocks))
for block in blocks[:-1]:
    libc.free(block)
freed = resident().rss
asyncio.run(water.give_back(0))
print((freed - before) // 2**20, (resident().rss - before) // 2**20)
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="needs glibc, whose heap this is about")
def test_what_many_waiting_bodies_took_is_the_systems_again_once_they_are_answered():
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    kept, after = map(int, done.stdout.split())
    assert kept > 40, "the heap would have given it back by itself"
    assert after < 10


def test_after_a_small_rise_nothing_is_given_back_so_that_it_serves_the_next_calls():
    water = HighWater()
    water.note(2**20)
    asyncio.run(water.give_back(0))
    assert water.most == 2**20
