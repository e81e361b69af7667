"""The engine's HTTP side: one raw ASGI app, without a framework. Limits, content types, errors."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import replace
from functools import partial
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
from endpoints.engine.plane import TICKET, DataPlane, Ticket
from endpoints.engine.protocols import Answer, Route
from endpoints.http import EXTENSION, QuickCycle
from endpoints.memory import HighWater
from endpoints.within import Within

log = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

MAX_REQUESTS = 128  # with a body, at once, from their first byte on
MAX_BODIES = 256 * 2**20  # bytes, of all of them
GIVE_BACK_SECONDS = 1.0  # between two looks whether much memory has become free
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
        self._in_flight = self._bodies = 0
        self._high_water = HighWater()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, send)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()  # lifespan.startup
        loading, tidying = asyncio.create_task(self._start()), asyncio.create_task(self._tidy())
        await send({"type": "lifespan.startup.complete"})
        await receive()  # lifespan.shutdown: every request has been answered by now
        tidying.cancel()
        await loading
        if self._plane:
            await asyncio.to_thread(self._plane.close)
        await send({"type": "lifespan.shutdown.complete"})

    async def _start(self) -> None:
        try:
            self._plane = await asyncio.to_thread(self._load)
        except Exception as error:
            self._failed(error)

    async def _tidy(self) -> None:
        while True:
            await asyncio.sleep(GIVE_BACK_SECONDS)
            await self._high_water.give_back(self._bodies)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            answer = await self._answer(scope, receive)
        except EngineError as error:
            answer = response(error, scope["path"])
        except ClientGone:
            return
        except Exception:
            log.exception("%s %s failed", scope["method"], scope["path"])
            answer = response(InferenceFailed("The engine failed. Its log says why."), scope["path"])
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
        headers = dict(scope["headers"])
        size = _announced(headers)
        if self._in_flight >= self._max_requests or self._bodies + size > MAX_BODIES:
            raise TooBusy("Too many requests are waiting for this model.")
        self._in_flight += 1
        self._bodies += size
        self._high_water.note(self._bodies)
        try:
            return await self._compute(plane, route.answer, headers, scope, receive)
        finally:
            self._in_flight -= 1
            self._bodies -= size

    async def _compute(
        self, plane: DataPlane, answer: Answer, headers: Mapping[bytes, bytes], scope: Scope, receive: Receive
    ) -> Response:
        """Raises DeadlinePassed when the caller's time is over, ClientGone when it hangs up: the work ends then."""
        seconds = _seconds(headers, self._deadline_seconds)
        ticket = Ticket(time.monotonic() + seconds)
        TICKET.set(ticket)
        request = Request(await _body(receive, ticket.deadline), headers)
        cycle: QuickCycle = scope["extensions"][EXTENSION]
        answering = asyncio.current_task()
        assert answering is not None
        cycle.when_gone = answering.cancel
        try:
            with Within(ticket.deadline - time.monotonic()):
                if cycle.disconnected:
                    raise ClientGone
                return await _written(plane, await answer(plane, request), ticket)
        except TimeoutError as error:
            raise DeadlinePassed(f"No answer within {seconds:g} seconds.") from error
        except asyncio.CancelledError:
            if not cycle.disconnected:
                raise  # it was not the caller
            answering.uncancel()
            raise ClientGone from None
        finally:
            cycle.when_gone = None


def _announced(headers: Mapping[bytes, bytes]) -> int:
    """How many bytes the body will have at most. Raises BodyTooLarge."""
    said = headers.get(b"content-length", b"")
    size = int(said) if said.isdigit() and len(said) < 20 else MAX_BODY
    if size > MAX_BODY:
        raise BodyTooLarge(f"The body is larger than {MAX_BODY} bytes.")
    return size


async def _body(receive: Receive, deadline: float) -> bytes:
    """The whole body. Raises BodyTooLarge, ClientGone, DeadlinePassed."""
    chunks: list[bytes] = []
    size, more = 0, True
    try:
        with Within(deadline - time.monotonic()):
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
    except TimeoutError as error:
        raise DeadlinePassed("The body did not come in time.") from error
    return b"".join(chunks)


def _seconds(headers: Mapping[bytes, bytes], most: float) -> float:
    """How long the caller still waits: what x-deadline-ms says, if that is less."""
    said = headers.get(b"x-deadline-ms", b"")
    return min(most, int(said) / 1000) if said.isdigit() and len(said) < 10 else most


async def _written(plane: DataPlane, value: Any, ticket: Ticket) -> Response:
    """The answer as bytes, and with how many images it was computed together."""
    if not isinstance(value, Response):
        write = partial(orjson.dumps, value, None, orjson.OPT_SERIALIZE_NUMPY)
        value = Response(write() if plane.is_quickly_answered(ticket.images) else await plane.in_pool(write))
    return replace(value, headers=(*value.headers, (b"x-batch-size", str(ticket.batch_size).encode())))


async def _send(send: Send, answer: Response) -> None:
    headers = [
        (b"content-type", answer.content_type),
        (b"content-length", str(len(answer.body)).encode()),
        *answer.headers,
    ]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})
