"""HTTP/1.1 on the server's side of stage URLs and of engines: uvicorn's connection, with a quicker exchange on it.

A request with an image has a hundred kilobytes or more. uvicorn stops reading after 64 KiB until the application has
taken them, and writes head and body of an answer one after the other. Here the socket is read on while the application
takes what there is, and an answer is written at once.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any, cast
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

log = logging.getLogger(__name__)

HELD = 256 * 2**10  # bytes of a body that wait for the application, at most, and what one more read brings

EXTENSION = "quick"  # of ASGI's scope: the cycle itself

Message = MutableMapping[str, Any]


class QuickCycle:
    """ASGI's `receive` and `send` of one request. The attributes without underscore are those that uvicorn's protocol
    reads and sets on what it calls its cycle.

    It is in the scope's extensions too, for what ASGI has no word for: `when_gone` is called when the caller hangs up
    before the answer is complete, `abort` hangs up on the caller, `has_room` says that an answer need not wait for one
    before it.

    An application has to say the `content-length` of its answer; the connection ends behind one that does not.
    """

    def __init__(self, protocol: "QuickProtocol", scope: Message) -> None:
        self.transport: asyncio.Transport = protocol.transport
        self.keep_alive = scope["http_version"] == "1.1" and protocol.parser.should_keep_alive()
        self.more_body = True
        self.disconnected = self.response_complete = False
        self.when_gone: Callable[[], object] | None = None
        self._protocol, self._scope = protocol, scope
        scope["extensions"] = {EXTENSION: self}
        self._awaits_continue: bool = protocol.expect_100_continue
        self._chunks: list[bytes] = []
        self._held = 0
        self._is_taken = False  # the end of the body
        self._head = b""  # of the answer, until it is written
        self._started = False
        self._news: asyncio.Future[None] | None = None

    # --- what the protocol calls ---

    @property
    def message_event(self) -> "QuickCycle":
        """The protocol calls its `set` when it has changed an attribute. As an attribute it would be a circle."""
        return self

    def set(self) -> None:
        if self.disconnected and self.when_gone is not None:
            self.when_gone()
        if self._news is not None and not self._news.done() and self._has_news():
            self._news.set_result(None)

    def take(self, chunk: bytes) -> None:
        """More of the body."""
        self._chunks.append(chunk)
        self._held += len(chunk)
        if self._held > HELD:
            self._protocol.flow.pause_reading()
        self.set()

    async def run_asgi(self, app: Any) -> None:
        try:
            await app(self._scope, self.receive, self.send)
        except Exception:
            log.exception("The application failed on %s %s", self._scope["method"], self._scope["path"])
            if not self._started:
                await self._fail()
        finally:
            self._scope["extensions"] = {}  # which hold this object: nothing is left for the garbage collector
            if not self.response_complete:
                self.transport.close()

    async def _fail(self) -> None:
        text = b"Internal Server Error"
        headers = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(text)), (b"connection", b"close")]
        await self.send({"type": "http.response.start", "status": 500, "headers": headers})
        await self.send({"type": "http.response.body", "body": text})

    # --- what the application calls ---

    def abort(self) -> None:
        """Close the connection without waiting for what the caller has not read."""
        self.transport.abort()

    @property
    def has_room(self) -> bool:
        return not self._protocol.flow.write_paused

    async def receive(self) -> Message:
        if self._awaits_continue and not self.transport.is_closing():
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._awaits_continue = False
        if not self._has_news():
            self._protocol.flow.resume_reading()
        while not self._has_news():
            self._news = news = asyncio.get_running_loop().create_future()
            try:
                await news
            finally:
                if self._news is news:  # and not that of another who waits by now
                    self._news = None
        if self.disconnected or self.response_complete:
            return {"type": "http.disconnect"}
        body = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        self._chunks, self._held, self._is_taken = [], 0, not self.more_body
        return {"type": "http.request", "body": body, "more_body": self.more_body}

    async def send(self, message: Mapping[str, Any]) -> None:
        if self._protocol.flow.write_paused and not self.disconnected:
            await self._protocol.flow.drain()
        if self.disconnected:
            return
        if message["type"] == "http.response.start":
            self._head = self._head_of(message["status"], message["headers"])
            self._started, self._awaits_continue = True, False
            return
        if self.response_complete or not self._started:
            raise RuntimeError(f"{message['type']}: the answer is complete, or has not begun.")
        body = b"" if self._scope["method"] == "HEAD" else message.get("body", b"")
        if self._head or body:
            self.transport.writelines([self._head, body] if self._head else [body])
        self._head = b""
        if not message.get("more_body", False):
            self._complete()

    def _has_news(self) -> bool:
        has_body = not self._is_taken and (not self.more_body or self._held > 0)
        return has_body or self.disconnected or self.response_complete

    def _head_of(self, status: int, headers: list[tuple[bytes, bytes]]) -> bytes:
        lines = [STATUS_LINE[status]]
        has_length = says_close = False
        for name, value in (*self._protocol.server_state.default_headers, *headers):
            has_length = has_length or name == b"content-length"
            says_close = says_close or name == b"connection"
            lines += [name, b": ", value, b"\r\n"]
        self.keep_alive = self.keep_alive and has_length and not says_close
        if not self.keep_alive and not says_close:
            lines.append(b"connection: close\r\n")
        return b"".join([*lines, b"\r\n"])

    def _complete(self) -> None:
        self.response_complete = True
        self.set()
        if not self.keep_alive:
            self.transport.close()
        self._protocol.on_response_complete()


class QuickProtocol(HttpToolsProtocol):
    """For `uvicorn.Config(http=...)`. What a connection needs beside its requests is uvicorn's: keeping it open,
    pipelined requests, the end of the server.

    Who offers to go on in another protocol, as Java's client offers HTTP/2 in each of its requests, is answered in this
    one, whatever the path and whatever protocol. The parser takes what follows such a head for the other protocol
    already, and uvicorn with it: the application would see a request without its body.
    """

    cycle: Any  # a QuickCycle, or uvicorn's

    def is_quick(self, path: str) -> bool:
        """Whether a request of this path is for an application that QuickCycle serves."""
        return True

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        parts: list[bytes | memoryview] = [data]  # what is still to be read, the next one last
        while parts:
            part = parts.pop()
            try:
                self.parser.feed_data(part)
            except httptools.HttpParserUpgrade as offer:
                if self.parser.get_method() == b"CONNECT":
                    return self._refuse()
                parts += [memoryview(part)[offer.args[0] :], self._head_without_offer()]
                self.parser = httptools.HttpRequestParser(self)  # the one before it has ended with its request
                self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn's
            except httptools.HttpParserError:
                return self._refuse()

    def _refuse(self) -> None:
        log.warning("Not a request of HTTP/1.1, from %s", self.client)
        self.send_400_response("Invalid HTTP request received.")

    def _head_without_offer(self) -> bytes:
        version = self.parser.get_http_version().encode()
        start = b"%b %b HTTP/%b\r\n" % (self.parser.get_method(), self.url, version)
        rows = [b"%b: %b\r\n" % row for row in self.headers if row[0] != b"upgrade"]
        return b"".join([start, *rows, b"\r\n"])

    def on_headers_complete(self) -> None:
        if self.parser.should_upgrade():
            return  # this head will be read again
        self._complete_scope()
        if not self.is_quick(self.scope["path"]):
            super().on_headers_complete()
            return
        before, self.cycle = self.cycle, QuickCycle(self, cast(Message, self.scope))
        if before is None or before.response_complete:
            self._start_asgi_task(self.cycle, self.app)
        else:  # it came before the one before it was answered
            self.flow.pause_reading()
            self.pipeline.appendleft((self.cycle, self.app))

    def _complete_scope(self) -> None:
        url = httptools.parse_url(self.url)
        path = url.path.decode("ascii")
        self.scope["method"] = self.parser.get_method().decode("ascii")
        self.scope["http_version"] = self.parser.get_http_version()
        self.scope["path"] = self.root_path + (unquote(path) if "%" in path else path)
        self.scope["raw_path"] = self.root_path.encode("ascii") + url.path
        self.scope["query_string"] = url.query or b""

    def on_body(self, body: bytes) -> None:
        if not isinstance(self.cycle, QuickCycle):
            super().on_body(body)
        elif not self.cycle.response_complete:
            self.cycle.take(body)

    def on_message_complete(self) -> None:
        if not self.parser.should_upgrade():
            super().on_message_complete()
