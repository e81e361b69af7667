"""Give freed memory back to the system.

glibc keeps what a process frees for the next time. Bodies of requests lie between other things in its heap, so that
it never gives them back by itself: after 128 calls of 1 MB that waited at once, a process held 100 MB for ever.
"""

import asyncio
import ctypes
from concurrent.futures import Executor

WORTH = 8 * 2**20  # bytes: of less, the next calls make use


class HighWater:
    """The most bytes of bodies that were held at once, since memory was last given back."""

    def __init__(self) -> None:
        self.most = 0

    def note(self, held: int) -> None:
        self.most = max(self.most, held)

    async def give_back(self, held: int, executor: Executor | None = None) -> None:
        """Give back what is free if `held` has fallen far enough. It takes a tenth of a millisecond for a megabyte."""
        if self.most - held >= WORTH:
            self.most = held
            await asyncio.get_running_loop().run_in_executor(executor, trim)


def trim() -> None:
    """See malloc_trim(3); nothing happens where the C library is not glibc."""
    malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if malloc_trim:
        malloc_trim(0)
