"""A time limit on what a coroutine awaits. asyncio.timeout does the same; a stage URL needs five of them for each call,
which cost it as much time as checking the key does, and these a third of that."""

import asyncio
from types import TracebackType


class Within:
    """`with Within(seconds): await ...` raises TimeoutError when that takes longer. For one use, in a task."""

    __slots__ = ("_cancelling", "_has_expired", "_seconds", "_task", "_timer")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._has_expired = False

    def __enter__(self) -> None:
        task = asyncio.current_task()
        assert task is not None, "a time limit needs a task that it can interrupt"
        self._task, self._cancelling = task, task.cancelling()
        self._timer = asyncio.get_running_loop().call_later(max(0.0, self._seconds), self._expire)

    def _expire(self) -> None:
        self._has_expired = True
        self._task.cancel()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        # Who else cancelled the task wants it to end, not to hear of a time limit.
        is_ours = self._has_expired and self._task.uncancel() <= self._cancelling
        if is_ours and kind is not None and issubclass(kind, asyncio.CancelledError):
            raise TimeoutError from error
