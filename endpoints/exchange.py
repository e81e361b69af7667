"""One call of a stage URL from the caller's side: its body comes in, an answer or a refusal goes out."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from urllib.parse import quote

from django.conf import settings
from django.utils import timezone

from endpoints import lookup, statistics
from endpoints.connections import Answer, CallerGone, Connection
from endpoints.http import EXTENSION, Message, QuickCycle
from endpoints.lookup import Refused
from endpoints.rates import Places
from endpoints.within import Within

Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

HUNG_UP = 499  # in the statistics, of a call whose caller did not wait: nobody got this status
PIECE = 256 * 1024  # bytes of an answer that are written at once
AT_ONCE = 64 * 1024  # an answer of so many bytes needs no waiting for its reader: the server's buffer takes it
LINGER_SECONDS = 2  # during which a body that was refused is still read, so that its sender sees the answer
BETWEEN_US = {b"connection", b"keep-alive", b"transfer-encoding", b"date", b"server", b"x-batch-size"}


class Exchange:
    """The call, and what the statistics will say of it."""

    def __init__(self, scope: Message, receive: Receive, send: Send) -> None:
        self.receive, self.send = receive, send
        self._cycle: QuickCycle = scope["extensions"][EXTENSION]
        self.started = time.monotonic()
        self.deadline = self.started + settings.STAGE_TIMEOUT_SECONDS - 1
        self.method: str = scope["method"]
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        raw: bytes = scope.get("raw_path") or quote(scope["path"]).encode()
        self.endpoint_id, self.rest = lookup.split(raw.decode("latin-1"))
        self.body: list[bytes] = []
        self.bytes_in = self.bytes_out = self.status = 0
        self.stage_id = self.path = self.key_prefix = self.error = ""
        self.batch_size: int | None = None
        self.keep_body = False  # for the list of recent requests
        self.gone = False  # the caller hung up
        self.connection: Connection | None = None  # to the engine that is asked now

    @property
    def seconds_left(self) -> float:
        return self.deadline - time.monotonic()

    def counted(self) -> statistics.Call | None:
        """None for a call of no known stage."""
        if not self.stage_id:
            return None
        return statistics.Call(
            stage_id=self.stage_id,
            at=timezone.now(),
            path=self.path,
            status=self.status or HUNG_UP,
            milliseconds=(time.monotonic() - self.started) * 1000,
            bytes_in=self.bytes_in,
            bytes_out=self.bytes_out,
            key_prefix=self.key_prefix,
            error=self.error,
            batch_size=self.batch_size,
            body=b"".join(self.body) if self.keep_body else b"",
            content_type=self.headers.get(b"content-type", b"").decode("latin-1") if self.keep_body else "",
        )

    async def read_body(self, places: Places) -> None:
        """The whole of it. Raises Refused: 413 when it is, or says it is, too large; 408 when it does not come in time;
        429 when the bodies of all calls are too many bytes together."""
        limit = settings.STAGE_MAX_BODY
        too_large = Refused(413, "too_large", f"The body may have at most {limit // 2**20} MB.")
        length = self.headers.get(b"content-length", b"")
        if length.isdigit() and int(length) > limit:
            raise too_large
        try:
            with Within(min(places.limits.body_seconds, self.seconds_left)):
                more = True
                while more:
                    message = await self.receive()
                    if message["type"] == "http.disconnect":
                        raise Refused(400, "incomplete", "The connection was closed before the whole body had arrived.")
                    chunk, more = message.get("body", b""), message.get("more_body", False)
                    if self.bytes_in + len(chunk) > limit:
                        raise too_large
                    places.hold(len(chunk))
                    self.bytes_in += len(chunk)
                    if chunk:
                        self.body.append(chunk)
        except TimeoutError:
            raise Refused(408, "slow_body", "The body did not arrive in time.") from None

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Within it, a caller that hangs up closes the connection to the engine, so that it drops the request."""
        self._cycle.when_gone = self._hang_up
        if self._cycle.disconnected:
            self._hang_up()
        try:
            yield
        finally:
            self._cycle.when_gone = None

    def _hang_up(self) -> None:
        self.gone = True
        if self.connection is not None:
            self.connection.abort(CallerGone())

    async def refuse(self, refused: Refused) -> None:
        self.status, self.error = refused.status, refused.message
        error = {"code": refused.code, "message": refused.message, "fields": {}}
        v2 = (self.path or self.rest).startswith("/v2/")  # whose clients read another form
        body = json.dumps({**error, "error": refused.message} if v2 else {"error": error}).encode()
        headers = [(name.lower().encode(), value.encode()) for name, value in refused.headers.items()]
        headers += [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        unread = refused.status in (408, 413)
        if unread:
            headers.append((b"connection", b"close"))
        await self.send({"type": "http.response.start", "status": refused.status, "headers": headers})
        self.bytes_out = len(body)
        await self.send({"type": "http.response.body", "body": body, "more_body": unread})
        if unread:
            await self._linger()
            await self.send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _linger(self) -> None:
        """Read on for a moment: a connection that is closed on unread bytes takes the answer down with it."""
        try:
            async with asyncio.timeout(LINGER_SECONDS):
                more = True
                while more:
                    message = await self.receive()
                    more = message["type"] != "http.disconnect" and message.get("more_body", False)
        except TimeoutError:
            return

    async def answer(self, answer: Answer, more: Callable[[], Awaitable[bytes]] | None, seconds: float) -> None:
        """Pass on what the engine said; `more` is the source of the body of one that is not whole. A caller that does
        not take it within `seconds` is cut off. Raises BrokenOff."""
        self.status = answer.status
        headers = [row for row in answer.headers if row[0] not in BETWEEN_US]
        start = {"type": "http.response.start", "status": answer.status, "headers": headers}
        if more is None and self._cycle.has_room and sum(map(len, answer.chunks)) <= AT_ONCE:
            await self.send(start)  # neither of them waits
            await self._write(answer.body, last=True)
            return
        try:
            with Within(seconds):
                await self.send(start)
                if more is None:
                    await self._write(answer.body, last=True)
                    return
                while part := await more():
                    await self._write(part, last=False)
                await self.send({"type": "http.response.body", "body": b"", "more_body": False})
        except TimeoutError:
            self.error = "The caller did not take the answer in time."
            self._cycle.abort()

    async def _write(self, body: bytes, last: bool) -> None:
        """In pieces: each `send` waits until the server has got rid of enough of what came before."""
        self.bytes_out += len(body)
        if last and len(body) <= AT_ONCE:
            await self.send({"type": "http.response.body", "body": body, "more_body": False})
            return
        for start in range(0, len(body), PIECE):
            await self.send({"type": "http.response.body", "body": body[start : start + PIECE], "more_body": True})
        if last:
            await self.send({"type": "http.response.body", "body": b"", "more_body": False})
