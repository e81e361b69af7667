"""The stage URL in the web process: find the route, check the key, forward the bytes, pass on the answer.

A raw ASGI application beside Django: no middleware and no database on the way of a request. The calls
are counted in memory and written once a second in a thread.
"""

import asyncio
import json
import logging
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from django.db import close_old_connections

from endpoints import lookup, routes, statistics
from endpoints.connections import Answer, BrokenOff, CallerGone, Engine
from endpoints.exchange import Exchange, Message, Receive, Send
from endpoints.forwarding import MARGIN_SECONDS, Forwarder, unavailable
from endpoints.lookup import Refused, Target
from endpoints.rates import Limits, Places, Rates

log = logging.getLogger(__name__)


class StageApplication:
    """ASGI application of everything under /stage/, and of the server's start and end."""

    def __init__(
        self, table: Path | None = None, recorder: statistics.Recorder | None = None, limits: Limits | None = None
    ) -> None:
        self.routes = lookup.RouteTable(table or routes.table_path())
        self.recorder = recorder or statistics.Recorder()
        self.limits = limits or Limits()
        self.places = Places(self.limits, statistics.in_flight)
        self._rates = Rates()
        self._forwarder = Forwarder()
        self._writer = ThreadPoolExecutor(1, "stage-statistics")

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        call = Exchange(scope, receive, send)
        try:
            await self._answer(call)
        except Refused as refused:
            await call.refuse(refused)
        except CallerGone:
            call.error = "The caller hung up before the answer."
        finally:
            self.places.let_go(call.bytes_in)
            counted = call.counted()
            if counted:
                self.recorder.add(counted)

    async def _answer(self, call: Exchange) -> None:
        endpoint = self.routes.endpoint(call.endpoint_id)
        stage, below = lookup.stage_of(endpoint, call.rest)
        call.stage_id, call.path = stage["id"], below or stage["resources"][0]["path"]
        call.keep_body = stage["keep_images"]
        call.key_prefix = lookup.check_key(endpoint, call.headers)
        if call.key_prefix:
            self._rates.count(call.key_prefix, endpoint["keys"][call.key_prefix]["calls_per_minute"])
        target = lookup.target(stage, below)
        self.places.check(call.stage_id)
        await call.read_body(self.places)
        with self.places.place(call.stage_id):
            answer, engine = await self._ask(call, target)
            if not answer.whole:
                await self._stream(call, answer, engine)
                return
        await call.answer(answer, None, self.limits.write_seconds)

    def _target(self, call: Exchange) -> Target:
        """Where the call goes by the newest table."""
        stage, rest = lookup.stage_of(self.routes.endpoint(call.endpoint_id), call.rest)
        return lookup.target(stage, rest)

    async def _ask(self, call: Exchange, target: Target) -> tuple[Answer, Engine]:
        """-> the answer, and the engine that has more of it to say if it is not whole."""
        if call.seconds_left < MARGIN_SECONDS:
            raise Refused(503, "deadline_passed", "No time is left to answer this call.", {"Retry-After": "1"})
        watching = asyncio.create_task(call.watch(CallerGone()))
        try:
            async with asyncio.timeout(call.seconds_left):
                answer, engine = await self._forwarder.ask(call, target, partial(self._target, call))
        except TimeoutError:
            raise Refused(504, "timeout", "The model did not answer in time.", {"Retry-After": "5"}) from None
        except BrokenOff:
            raise unavailable() from None  # the caller has seen nothing yet; nobody computes it a second time
        finally:
            watching.cancel()
        if answer.whole:
            self._forwarder.release(engine, call)
        _note(call, answer)
        return answer, engine

    async def _stream(self, call: Exchange, answer: Answer, engine: Engine) -> None:
        """An answer too large to be held: the engine waits for the caller, as long as the call may take."""
        assert call.connection is not None
        try:
            await call.answer(answer, call.connection.more, call.seconds_left)
        except BrokenOff:
            call.status, call.error = 502, "The engine ended in the middle of its answer."
            raise  # the answer has begun: all that is left is to close the connection
        finally:
            self._forwarder.release(engine, call)

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
                self._forwarder.close()
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def _every_second(self) -> None:
        while True:
            await asyncio.sleep(1)
            await self._write_statistics()
            self._forwarder.tidy()
            self._rates.forget_full()

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


def _note(call: Exchange, answer: Answer) -> None:
    """What the statistics want to know of an answer."""
    for name, value in answer.headers:
        if name == b"x-batch-size" and value.isdigit():
            call.batch_size = int(value)
    if answer.status >= 400:
        call.error = _message_of(answer.body)


def _message_of(body: bytes) -> str:
    """What an engine's error answer says, for the list of recent requests."""
    try:
        error = json.loads(body)["error"]
        return error if isinstance(error, str) else str(error["message"])  # under /v2 it is a string
    except (ValueError, KeyError, TypeError):
        return body[:200].decode("utf-8", "replace")
