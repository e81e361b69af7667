"""A request's body that the view reads while it comes in, instead of after the whole of it has arrived."""

import asyncio
import threading
from concurrent.futures import CancelledError, Future
from typing import Any

CONTENT_TYPE = b"application/offset+octet-stream"  # of the tus protocol, and of nothing else
IDLE_SECONDS = 30  # without a byte: the sender is gone, even if its connection looks alive


class LiveBody:
    """For the view, which runs in a thread, a file; for Django's handler a `receive` from which nothing more comes.

    So a cut keeps every byte that had arrived, and a body of any size needs the memory of one message.
    """

    def __init__(self, receive: Any) -> None:
        self._receive = receive
        self._loop = asyncio.get_running_loop()
        self._rest, self._more = b"", True
        self._waiting: Future[Any] | None = None
        self._lock = threading.Lock()
        self._ended = False
        self.idle = False  # it was given up because nothing came

    async def __call__(self) -> Any:
        """Django listens here for a disconnect, to cancel the view. Ours has to note what came, and ends by itself."""
        await asyncio.Event().wait()

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes (-1: all), b"" at the end. Raises ConnectionError when the rest will not come."""
        if size < 0:
            return b"".join(iter(lambda: self.read(1024 * 1024), b""))
        while not self._rest and self._more:
            message = self._next()
            if message["type"] == "http.disconnect":
                raise ConnectionResetError("The connection was closed in the middle of the body.")
            self._rest, self._more = message.get("body", b""), message.get("more_body", False)
        piece, self._rest = self._rest[:size], self._rest[size:]
        return piece

    def _next(self) -> Any:
        with self._lock:
            if self._ended:
                raise ConnectionAbortedError("The body was given up.")
            self._waiting = asyncio.run_coroutine_threadsafe(self._receive(), self._loop)
        try:
            return self._waiting.result(IDLE_SECONDS)
        except CancelledError as error:
            raise ConnectionAbortedError("The body was given up.") from error
        except TimeoutError as error:
            self.idle = True
            self.end()
            raise ConnectionAbortedError(f"Nothing came for {IDLE_SECONDS} seconds.") from error

    def end(self) -> None:
        """From any thread: whoever reads gets a ConnectionError, now and ever after."""
        with self._lock:
            self._ended = True
            if self._waiting is not None:
                self._waiting.cancel()

    close = end  # Django's name for it, when the request is over


def is_live(scope: Any) -> bool:
    return any(key.lower() == b"content-type" and value == CONTENT_TYPE for key, value in scope["headers"])
