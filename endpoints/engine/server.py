"""The engine's HTTP side: one raw ASGI app, without a framework. Limits, content types, errors."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

import orjson

from endpoints.engine.bodies import MAX_BODY, Request
from endpoints.engine.errors import (
    BodyTooLarge,
    DeadlinePassed,
    EngineError,
    InferenceFailed,
    MethodNotAllowed,
    NotFound,
    NotReady,
    Response,
    TooBusy,
    response,
)
from endpoints.engine.plane import DataPlane
from endpoints.engine.protocols import Route

log = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

MAX_REQUESTS = 64  # at once, from their first byte on: bounds the memory that waiting bodies take
DEADLINE_SECONDS = 58.0  # the web process gives up at 60: ours is the better answer


class ClientGone(Exception):
    """The client hung up before its request was whole: nobody is left to answer."""


class App:
    """`load` makes the data plane, in a thread; until it returns, routes that need the model answer 503.

    `failed` is called when it raises.
    """

    def __init__(
        self,
        routes: dict[str, Route],
        load: Callable[[], DataPlane],
        failed: Callable[[Exception], None],
        *,
        max_requests: int = MAX_REQUESTS,
        deadline_seconds: float = DEADLINE_SECONDS,
    ) -> None:
        self._routes = routes
        self._load = load
        self._failed = failed
        self._max_requests = max_requests
        self._deadline_seconds = deadline_seconds
        self._plane: DataPlane | None = None
        self._in_flight = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, send)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()  # lifespan.startup
        loading = asyncio.create_task(self._start())
        await send({"type": "lifespan.startup.complete"})
        await receive()  # lifespan.shutdown: every request has been answered by now
        await loading
        if self._plane:
            await asyncio.to_thread(self._plane.close)
        await send({"type": "lifespan.shutdown.complete"})

    async def _start(self) -> None:
        try:
            self._plane = await asyncio.to_thread(self._load)
        except Exception as error:
            self._failed(error)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._in_flight += 1
        try:
            answer = await self._answer(scope, receive)
        except EngineError as error:
            answer = response(error, scope["path"])
        except ClientGone:
            return
        except Exception:
            log.exception("%s %s failed", scope["method"], scope["path"])
            answer = response(InferenceFailed("The engine failed. Its log says why."), scope["path"])
        finally:
            self._in_flight -= 1
        await _send(send, answer)

    async def _answer(self, scope: Scope, receive: Receive) -> Response:
        route = self._routes.get(scope["path"].rstrip("/"))
        if route is None:
            raise NotFound(f"There is nothing at {scope['path']}.")
        if scope["method"] not in route.methods:
            raise MethodNotAllowed(", ".join(route.methods))
        plane = self._plane
        if plane is None and route.needs_model:
            raise NotReady("The model is still loading.")
        if plane is None or route.answer is None or (route.value and scope["method"] == "GET"):
            return Response(orjson.dumps(route.value))
        if scope["method"] == "GET":
            return Response(orjson.dumps(await route.answer(plane, Request())))
        if self._in_flight > self._max_requests:
            raise TooBusy("Too many requests are waiting for this model.")
        try:
            async with asyncio.timeout(self._deadline_seconds):
                headers = dict(scope["headers"])
                value = await route.answer(plane, Request(await _body(headers, receive), headers))
                if isinstance(value, Response):
                    return value
                return Response(await asyncio.to_thread(orjson.dumps, value, None, orjson.OPT_SERIALIZE_NUMPY))
        except TimeoutError as error:
            raise DeadlinePassed(f"No answer within {self._deadline_seconds:g} seconds.") from error


async def _body(headers: Mapping[bytes, bytes], receive: Receive) -> bytes:
    """The whole body. Raises BodyTooLarge, ClientGone."""
    length = headers.get(b"content-length", b"0")
    chunks: list[bytes] = []
    size, more = 0, True
    if length.isdigit() and int(length) > MAX_BODY:
        raise BodyTooLarge(f"The body is larger than {MAX_BODY} bytes.")
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        chunk = message.get("body", b"")
        chunks.append(chunk)
        size += len(chunk)
        if size > MAX_BODY:
            raise BodyTooLarge(f"The body is larger than {MAX_BODY} bytes.")
        more = message.get("more_body", False)
    return b"".join(chunks)


async def _send(send: Send, answer: Response) -> None:
    headers = [
        (b"content-type", answer.content_type),
        (b"content-length", str(len(answer.body)).encode()),
        *answer.headers,
    ]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})
