"""The stage URL in the web process: find the route, check the key, forward the bytes, pass on the answer.

A raw ASGI application beside Django: no middleware and no database on the way of a request. The calls
are counted in memory and written once a second in a thread.
"""

import asyncio
import json
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from django.db import close_old_connections

from endpoints import lookup, routes, statistics
from endpoints.connections import Answer, BrokenOff, CallerGone, Engine
from endpoints.exchange import Exchange, Receive, Send
from endpoints.forwarding import MARGIN_SECONDS, REPLACED_SECONDS, Forwarder
from endpoints.http import Message
from endpoints.lookup import Refused, Target
from endpoints.rates import Limits, Places, Rates
from endpoints.rollout_figures import Seen
from endpoints.rollouts import Rollouts, Trial
from endpoints.services.rollouts import rollout_count
from endpoints.within import Within

log = logging.getLogger(__name__)


class StageApplication:
    """ASGI application of everything under /stage/, and of the server's start and end."""

    def __init__(
        self,
        table: Path | None = None,
        recorder: statistics.Recorder | None = None,
        limits: Limits | None = None,
        count: Callable[[dict[str, Seen]], None] = rollout_count,
        every: float = 1,
    ) -> None:
        """`recorder` and `count` take what was counted of calls and of rollouts, each `every` seconds."""
        self.routes = lookup.RouteTable(table or routes.table_path())
        self.recorder = recorder or statistics.Recorder()
        self.limits = limits or Limits()
        self.places = Places(self.limits, statistics.in_flight)
        self._rates = Rates()
        self._forwarder = Forwarder()
        self.rollouts = Rollouts(self.routes, self._forwarder)
        self._count, self._every = count, every
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
        names = lookup.models_listed(stage, below) if call.method == "GET" else None
        if names is not None:
            await self._pass_on(call, _json({"models": names}))
            return
        target = lookup.target(stage, below)
        self.places.check(call.stage_id)
        await call.read_body(self.places)
        trial = self.rollouts.trial(call, endpoint, stage) if below == call.rest else None
        if trial and trial.chosen and trial.mode == "canary" and await self._canary(call, trial):
            return
        with self.places.place(call.stage_id):
            answer, engine = await self._ask(call, target, partial(self._target, call), trial)
            if not answer.whole:
                await self._stream(call, answer, engine)
        if answer.whole:
            await self._pass_on(call, answer)
        if trial and trial.chosen and trial.mode == "shadow" and answer.status < 400:
            self.rollouts.copy(call, answer, trial)

    async def _canary(self, call: Exchange, trial: Trial) -> bool:
        """Have the candidate answer the call. -> whether it did: if it cannot, the default stage does, and no caller
        has an error of it."""
        default = call.stage_id, call.keep_body
        call.stage_id, call.keep_body = trial.stage["id"], trial.stage["keep_images"]
        try:
            with self.places.place(call.stage_id):
                find = partial(self.rollouts.find, call.endpoint_id, call.rest)
                answer, engine = await self._ask(call, trial.target, find, trial, side="candidate", patience=0)
                if not answer.whole:
                    await self._stream(call, answer, engine)
                    return True
        except Refused:
            answer = None
        if answer is None or answer.status >= 500 or answer.status == 429:
            call.stage_id, call.keep_body = default
            return False
        await self._pass_on(call, answer)
        return True

    def _target(self, call: Exchange) -> Target:
        """Where the call goes by the newest table."""
        stage, rest = lookup.stage_of(self.routes.endpoint(call.endpoint_id), call.rest)
        return lookup.target(stage, rest)

    async def _ask(
        self,
        call: Exchange,
        target: Target,
        find: Callable[[], Target],
        trial: Trial | None,
        side: str = "default",
        patience: float = REPLACED_SECONDS,
    ) -> tuple[Answer, Engine]:
        """-> the answer, and the engine that has more of it to say if it is not whole. Raises Refused, CallerGone."""
        if call.seconds_left < MARGIN_SECONDS:
            raise Refused(503, "deadline_passed", "No time is left to answer this call.", {"Retry-After": "1"})
        began, status = time.monotonic(), 503
        try:
            with call.watched(), Within(call.seconds_left):
                answer, engine = await self._forwarder.ask(call, target, find, patience)
            status = answer.status
        except TimeoutError:
            raise Refused(504, "timeout", "The model did not answer in time.", {"Retry-After": "5"}) from None
        finally:
            if trial and not call.gone:
                self.rollouts.count(trial, side, status, time.monotonic() - began)
        if answer.whole:
            self._forwarder.release(engine, call)
        return answer, engine

    async def _pass_on(self, call: Exchange, answer: Answer) -> None:
        _note(call, answer)
        size = sum(map(len, answer.chunks))
        self.places.hold_anyway(size)
        try:
            await call.answer(answer, None, self.limits.write_seconds)
        finally:
            self.places.let_go(size)

    async def _stream(self, call: Exchange, answer: Answer, engine: Engine) -> None:
        """An answer too large to be held: the engine waits for the caller, as long as the call may take."""
        assert call.connection is not None
        _note(call, answer)
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
                housekeeping = asyncio.create_task(self._housekeeping())
                await send({"type": "lifespan.startup.complete"})
            elif message["type"] == "lifespan.shutdown":
                if housekeeping:
                    housekeeping.cancel()
                self.rollouts.close()
                await self._write()
                self._forwarder.close()
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def _housekeeping(self) -> None:
        while True:
            await asyncio.sleep(self._every)
            await self._write()
            await self.places.high_water.give_back(self.places.held, self._writer)
            self._forwarder.tidy()
            self._rates.forget_full()

    async def _write(self) -> None:
        """What was counted, into the database. What cannot be written is kept for the next time."""
        loop = asyncio.get_running_loop()
        seen = self.rollouts.take()
        for what, arguments in ((self.recorder.flush, ()), (self._count, (seen,))):
            try:
                await loop.run_in_executor(self._writer, _in_database, what, *arguments)
            except Exception:
                log.exception("The statistics could not be written; they are kept for the next time")
                if arguments:
                    self.rollouts.put_back(seen)


def _in_database(write: Callable[..., None], *arguments: Any) -> None:
    close_old_connections()
    try:
        write(*arguments)
    finally:
        close_old_connections()


def _json(value: Any) -> Answer:
    body = json.dumps(value).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    return Answer(200, headers, [body], whole=True)


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
