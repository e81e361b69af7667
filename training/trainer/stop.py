"""SIGTERM, or Ctrl-C: finish the step, save, leave. One object holds what was asked and what may be interrupted.

Python's own KeyboardInterrupt would be lost where it falls into a destructor, such as that of an epoch's data loaders.
"""

import os
import signal
from types import FrameType

FOR_THE_TRAINER = (signal.SIGTERM, signal.SIGINT)


class Stopped(BaseException):
    """The job was asked to stop. Not an Exception: no library's `except Exception` may swallow it."""


class StopSignal:
    """While there is nothing to save (`interruptible`), a stop interrupts at once; later it waits to be looked at."""

    def __init__(self) -> None:
        self.requested = False
        self.interruptible = True

    def install(self) -> "StopSignal":
        for number in FOR_THE_TRAINER:
            signal.signal(number, self._on_signal)
        return self

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.requested = True
        if self.interruptible:
            raise Stopped

    def hold(self) -> None:
        """From here on a stop waits until the code looks: a step is finished, a file is written to its end."""
        self.interruptible = False
        self.check()

    def check(self) -> None:
        if self.requested:
            raise Stopped


def deafen_forks() -> None:
    """Data loaders forked from here on hear neither SIGTERM nor SIGINT, which reach the whole group: without them the
    trainer could not finish its step. They end with it.

    Blocked before the fork, not in a worker_init_fn: at no moment does a signal find a loader that listens.
    """
    os.register_at_fork(before=_block, after_in_parent=_unblock)


def _block() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, FOR_THE_TRAINER)


def _unblock() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, FOR_THE_TRAINER)
