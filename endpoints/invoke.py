"""The stage URL in the web process: find the route, check the key, forward the bytes, stream the answer.

A raw ASGI application beside Django: no middleware and no database on the way of a request. The calls
are counted in memory and written once a second in a thread.
"""

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
from django.conf import settings
from django.db import close_old_connections
from django.utils import timezone
from yarl import URL

from endpoints import lookup, routes, statistics
from endpoints.lookup import Refused, Target

log = logging.getLogger(__name__)

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

MAX_IN_FLIGHT = 256  # calls whose body this process holds at once
BODY_SECONDS = 30  # for the whole body to arrive
REPLACED_SECONDS = 5  # how long a call waits for an engine that went away under it
SESSION_IDLE_SECONDS = 300  # after which the connections to an engine are closed; longer than any call
PASSED_ON = (b"content-type", b"content-encoding", b"inference-header-content-length")
NOT_PASSED_ON = {"connection", "keep-alive", "transfer-encoding", "date", "server"}


class Exchange:
    """One request while it is answered, and what the statistics will say of it."""

    def __init__(self, scope: MutableMapping[str, Any]) -> None:
        self.started = time.monotonic()
        self.deadline = self.started + settings.STAGE_TIMEOUT_SECONDS - 1
        self.method: str = scope["method"]
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        raw: bytes = scope.get("raw_path") or quote(scope["path"]).encode()
        self.endpoint_id, self.rest = lookup.split(raw.decode("latin-1"))
        self.stage_id = self.path = self.key_prefix = self.error = ""
        self.status = self.bytes_in = self.bytes_out = 0

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
            status=self.status,
            milliseconds=(time.monotonic() - self.started) * 1000,
            bytes_in=self.bytes_in,
            bytes_out=self.bytes_out,
            key_prefix=self.key_prefix,
            error=self.error,
        )


class StageApplication:
    """ASGI application of everything under /stage/, and of the server's start and end."""

    def __init__(self, table: Path | None = None, recorder: statistics.Recorder | None = None) -> None:
        self.routes = lookup.RouteTable(table or routes.table_path())
        self.recorder = recorder or statistics.Recorder()
        self._sessions: dict[str, aiohttp.ClientSession] = {}
        self._used: dict[str, float] = {}
        self._in_flight = 0
        self._writer = ThreadPoolExecutor(1, "stage-statistics")

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        call = Exchange(scope)
        self._in_flight += 1
        try:
            await self._answer(call, receive, send)
        except Refused as refused:
            await _refuse(call, refused, send)
        finally:
            self._in_flight -= 1
            counted = call.counted()
            if counted:
                self.recorder.add(counted)

    async def _answer(self, call: Exchange, receive: Receive, send: Send) -> None:
        endpoint = self.routes.endpoint(call.endpoint_id)
        stage, below = lookup.stage_of(endpoint, call.rest)
        call.stage_id, call.path = stage["id"], below or stage["resources"][0]["path"]
        call.key_prefix = lookup.check_key(endpoint, call.headers)
        if not self._target(call).sockets:
            raise _unavailable()
        if self._in_flight > MAX_IN_FLIGHT:
            raise Refused(503, "busy", "Too many calls at once. Try again shortly.", {"Retry-After": "1"})
        body = await read_body(call, receive)
        try:
            async with asyncio.timeout(call.seconds_left):
                await _stream(call, await self._ask(call, body), send)
        except (TimeoutError, aiohttp.ClientError) as error:
            if call.status:  # the answer has begun: all that is left is to close the connection
                call.status, call.error = 502, "The engine ended in the middle of its answer."
                raise
            if isinstance(error, TimeoutError):
                raise Refused(504, "timeout", "The model did not answer in time.", {"Retry-After": "5"}) from None
            raise _unavailable() from error

    def _target(self, call: Exchange) -> Target:
        stage, rest = lookup.stage_of(self.routes.endpoint(call.endpoint_id), call.rest)
        return lookup.target(stage, rest)

    async def _ask(self, call: Exchange, body: bytes) -> aiohttp.ClientResponse:
        """The engine's answer. An engine that goes away under a call is replaced: wait for that, and ask once more."""
        give_up = time.monotonic() + REPLACED_SECONDS
        asked = 0
        while asked < 2 and time.monotonic() < give_up:
            target = self._target(call)
            try:
                if target.sockets:
                    return await self._post(call, target, body)
            except aiohttp.ClientConnectorError:
                log.info("No engine listens on %s", target.sockets[0])
            except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
                asked += 1
                log.info("The engine on %s went away during a call", target.sockets[0])
            await asyncio.sleep(0.1)
        raise _unavailable()

    async def _post(self, call: Exchange, target: Target, body: bytes) -> aiohttp.ClientResponse:
        return await self._session(target.sockets[0]).request(
            call.method,
            URL.build(scheme="http", host="engine", path=target.path, encoded=True),
            data=body or None,
            headers=[(k.decode(), call.headers[k].decode("latin-1")) for k in PASSED_ON if k in call.headers],
            skip_auto_headers=("User-Agent", "Content-Type", "Accept-Encoding"),
            allow_redirects=False,
        )

    def _session(self, socket: str) -> aiohttp.ClientSession:
        """Pooled connections to one engine, kept alive for less long than the engine keeps them."""
        self._used[socket] = time.monotonic()
        session = self._sessions.get(socket)
        if session is None:
            session = self._sessions[socket] = aiohttp.ClientSession(
                connector=aiohttp.UnixConnector(socket, limit=0, keepalive_timeout=10),
                timeout=aiohttp.ClientTimeout(total=None),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
            )
        return session

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        """Count in the background while the server runs; write the last calls before it ends."""
        housekeeping: asyncio.Task[None] | None = None
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                housekeeping = asyncio.create_task(self._every_second())
                await send({"type": "lifespan.startup.complete"})
            elif message["type"] == "lifespan.shutdown":
                if housekeeping:
                    housekeeping.cancel()
                await self._write_statistics()
                for session in self._sessions.values():
                    await session.close()
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def _every_second(self) -> None:
        while True:
            await asyncio.sleep(1)
            await self._write_statistics()
            for socket in [s for s, used in self._used.items() if time.monotonic() - used > SESSION_IDLE_SECONDS]:
                del self._used[socket]
                await self._sessions.pop(socket).close()

    async def _write_statistics(self) -> None:
        try:
            await asyncio.get_running_loop().run_in_executor(self._writer, _flush, self.recorder)
        except Exception:
            log.exception("The statistics could not be written; they are kept for the next time")


def _flush(recorder: statistics.Recorder) -> None:
    close_old_connections()
    try:
        recorder.flush()
    finally:
        close_old_connections()


async def read_body(call: Exchange, receive: Receive) -> bytes:
    """The whole body. Raises Refused: 413 when it is, or says it is, too large; 408 when it does not come in time."""
    limit = settings.STAGE_MAX_BODY
    too_large = Refused(413, "too_large", f"The body may have at most {limit // 2**20} MB.")
    length = call.headers.get(b"content-length", b"")
    if length.isdigit() and int(length) > limit:
        raise too_large
    chunks: list[bytes] = []
    try:
        async with asyncio.timeout(min(BODY_SECONDS, call.seconds_left)):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Refused(400, "incomplete", "The connection was closed before the whole body had arrived.")
                chunks.append(message.get("body", b""))
                call.bytes_in += len(chunks[-1])
                if call.bytes_in > limit:
                    raise too_large
                if not message.get("more_body"):
                    return b"".join(chunks)
    except TimeoutError:
        raise Refused(408, "slow_body", "The body did not arrive in time.") from None


def _unavailable() -> Refused:
    return Refused(503, "unavailable", "The model is not ready to answer. Try again shortly.", {"Retry-After": "2"})


async def _stream(call: Exchange, response: aiohttp.ClientResponse, send: Send) -> None:
    async with response:
        first = await response.read() if response.status >= 400 else b""
        call.error = _message_of(first)
        headers = [(k, v) for k, v in response.raw_headers if k.decode("latin-1").lower() not in NOT_PASSED_ON]
        call.status = response.status
        await send({"type": "http.response.start", "status": response.status, "headers": headers})
        call.bytes_out = len(first)
        await send({"type": "http.response.body", "body": first, "more_body": True})
        async for chunk in response.content.iter_any():
            call.bytes_out += len(chunk)
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def _message_of(body: bytes) -> str:
    """What an engine's error answer says, for the list of recent requests."""
    try:
        error = json.loads(body)["error"] if body else ""
        return error if isinstance(error, str) else str(error["message"])  # under /v2 it is a string
    except (ValueError, KeyError, TypeError):
        return body[:200].decode("utf-8", "replace")


async def _refuse(call: Exchange, refused: Refused, send: Send) -> None:
    call.status, call.error = refused.status, refused.message
    error = {"code": refused.code, "message": refused.message, "fields": {}}
    below = call.path or call.rest
    body = json.dumps({**error, "error": refused.message} if below.startswith("/v2/") else {"error": error}).encode()
    call.bytes_out = len(body)
    headers = {"Content-Type": "application/json", "Content-Length": str(len(body)), **refused.headers}
    raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": refused.status, "headers": raw})
    if call.method == "HEAD":
        body = b""
    await send({"type": "http.response.body", "body": body})
