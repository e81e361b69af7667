"""HTTP/1.1 to an engine over its Unix socket: kept-alive connections, one request at a time on each.

A client for all the world does more than an engine needs: with this one a call costs the web process half to four
fifths of the processor's time that it cost with aiohttp.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

import httptools

BUFFERED = 8 * 2**20  # bytes of an answer that are held before the caller gets the first of them
IDLE_SECONDS = 60  # after which a connection is closed; the engine itself would do so after 75


class NotListening(Exception):
    """Nobody took the connection: the request was not seen by any engine."""


class EngineGone(Exception):
    """The engine closed the connection before it began to answer. It may have computed the answer."""


class BrokenOff(Exception):
    """The engine closed the connection in the middle of its answer."""


class CallerGone(Exception):
    """The caller hung up: nobody is left to answer."""


@dataclass(slots=True)
class Answer:
    """What an engine said. While `whole` is False, more of the body comes from its connection's `more()`."""

    status: int = 0
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    chunks: list[bytes] = field(default_factory=list)
    whole: bool = False

    @property
    def body(self) -> bytes:
        return self.chunks[0] if len(self.chunks) == 1 else b"".join(self.chunks)


class Connection(asyncio.Protocol):
    """One connection. httptools calls the on_* methods while it is fed."""

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._answer: Answer | None = None
        self._buffered = 0
        self._failure: Exception | None = None
        self._bodyless = False
        self.idle_since = 0.0

    @property
    def usable(self) -> bool:
        """Whether another request may be sent on it."""
        return self._failure is None and self._answer is None

    async def ask(self, method: bytes, head: bytes, body: Sequence[bytes]) -> Answer:
        """Send the request. -> the answer, once it is whole or BUFFERED bytes of it are there.

        Raises EngineGone, BrokenOff, or what `abort` was given. It is the caller's business to `abort` a connection
        whose answer it does not read to its end.
        """
        assert self._transport is not None
        self._answer, self._buffered, self._bodyless = Answer(), 0, method == b"HEAD"
        self._transport.writelines([head, *body])
        await self._wait()
        return self._answer

    async def more(self) -> bytes:
        """The next part of an answer that was not whole; b"" at its end. Raises as `ask` does."""
        assert self._answer is not None
        assert self._transport is not None
        if not self._answer.chunks and not self._answer.whole:
            self._transport.resume_reading()
            await self._wait()
        chunks, self._answer.chunks, self._buffered = self._answer.chunks, [], 0
        return b"".join(chunks)

    def done(self) -> bool:
        """Make ready for the next request. -> whether there can be one."""
        whole = self._answer is not None and self._answer.whole
        self._answer, self.idle_since = None, time.monotonic()
        return whole and self._failure is None

    def abort(self, failure: Exception) -> None:
        """Close it at once; whoever waits for its answer gets `failure`. The engine notices, and drops the request."""
        self._end(failure)
        if self._transport is not None:
            self._transport.abort()

    async def _wait(self) -> None:
        if self._failure is not None:
            raise self._failure
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _end(self, failure: Exception) -> None:
        if self._failure is None:
            self._failure = failure
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(self._failure)

    # --- what the event loop calls ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.abort(self._gone())
        if self._buffered > BUFFERED and self._answer is not None and not self._answer.whole:
            assert self._transport is not None
            self._transport.pause_reading()
            self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answer is None or not self._answer.whole:
            self._end(self._gone())
        elif self._failure is None:
            self._failure = self._gone()

    def _gone(self) -> Exception:
        return BrokenOff() if self._answer is not None and self._answer.status else EngineGone()

    # --- what the parser calls ---

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._answer is not None:
            self._answer.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        if self._answer is None:  # an answer to nothing
            raise httptools.HttpParserError
        self._answer.status = self._parser.get_status_code()
        if self._bodyless:  # its Content-Length is that of a body that does not come: the connection ends with it
            self._answer.whole = True
            self._failure = EngineGone()
            self._wake()

    def on_body(self, data: bytes) -> None:
        if self._answer is not None and not self._bodyless:
            self._answer.chunks.append(data)
            self._buffered += len(data)

    def on_message_complete(self) -> None:
        if self._answer is None or self._bodyless:
            return
        self._answer.whole = True
        if not self._parser.should_keep_alive():
            self._failure = EngineGone()
        self._wake()


class Engine:
    """The connections to one engine, and how many calls it has in flight."""

    def __init__(self, socket: str) -> None:
        self.socket = socket
        self.in_flight = 0
        self.used = time.monotonic()
        self._idle: list[Connection] = []

    async def connect(self) -> Connection:
        """A connection for one request. Raises NotListening."""
        while self._idle:
            connection = self._idle.pop()
            if connection.usable:
                return connection
        try:
            loop = asyncio.get_running_loop()
            _, connection = await loop.create_unix_connection(Connection, self.socket)
        except OSError as error:
            raise NotListening(self.socket) from error
        return connection

    def give_back(self, connection: Connection) -> None:
        """After a request: kept for the next one if its answer was read to the end, else closed."""
        self.used = time.monotonic()
        if connection.done():
            self._idle.append(connection)
        else:
            connection.abort(EngineGone())

    def close_idle(self, older_than: float = 0) -> None:
        """Close the connections that nobody used for `older_than` seconds; the newest are used first."""
        before = time.monotonic() - older_than
        while self._idle and self._idle[0].idle_since <= before:
            self._idle.pop(0).abort(EngineGone())
