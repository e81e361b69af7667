"""A call's way to an engine: which one is asked, and what happens when it goes away."""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Protocol

from endpoints.connections import (
    IDLE_SECONDS,
    Answer,
    BrokenOff,
    CallerGone,
    Connection,
    Engine,
    EngineGone,
    NotListening,
)
from endpoints.lookup import Refused, Target

log = logging.getLogger(__name__)

REPLACED_SECONDS = 5  # how long a call waits for an engine that went away to be replaced
LATELY_SECONDS = 10  # a resource that answered within them is being replaced, not missing
AGAIN_SECONDS = 0.05  # between two looks whether it has been
MARGIN_SECONDS = 0.5  # the engine gives up so much sooner than we do: its answer says more than ours
PASSED_ON = (b"content-type", b"content-encoding", b"inference-header-content-length")
NOT_READY = b'"not_ready"'  # an engine that is about to end says so, and has computed nothing


def unavailable() -> Refused:
    return Refused(503, "unavailable", "The model is not ready to answer. Try again shortly.", {"Retry-After": "2"})


class Asking(Protocol):
    """Who asks an engine: a caller's Exchange, or a copy of it."""

    method: str
    headers: dict[bytes, bytes]
    body: list[bytes]
    bytes_in: int
    gone: bool
    connection: Connection | None

    @property
    def seconds_left(self) -> float: ...


class Forwarder:
    """Asks engines. It remembers the connections to them, and which resources answered lately."""

    def __init__(self) -> None:
        self._engines: dict[str, Engine] = {}
        self._answered: dict[str, float] = {}

    async def ask(
        self, call: Asking, target: Target, find: Callable[[], Target], patience: float = REPLACED_SECONDS
    ) -> tuple[Answer, Engine]:
        """The answer to `call` of one of the target's engines, and which one that was.

        An engine that goes away before it answers is replaced: the call goes to another one or waits for the new one,
        `patience` seconds, and is asked once more; `find` says where that is. When the answer was read, `release` the
        engine. Raises Refused (503), CallerGone.
        """
        give_up = time.monotonic() + patience
        failed: set[str] = set()
        lost = 0
        while lost < 2 and not call.gone:
            engine = self._least_busy(target, failed)
            if engine is not None:
                try:
                    return await self._once(engine, call, target), engine
                except NotListening:
                    log.info("No engine answers on %s", engine.socket)
                except (EngineGone, BrokenOff):  # of an answer that broke off here, the caller has seen nothing
                    lost += 1
                    log.info("The engine on %s went away during a call", engine.socket)
                failed.add(engine.socket)
                target = find()
            elif time.monotonic() < give_up and (failed or self._lately(target)):
                await asyncio.sleep(AGAIN_SECONDS)
                failed.clear()
                target = find()
            else:
                break
        if call.gone:
            raise CallerGone
        raise unavailable()

    def _least_busy(self, target: Target, failed: set[str]) -> Engine | None:
        sockets = [socket for socket in target.sockets if socket not in failed] if failed else target.sockets
        if not sockets:
            return None
        for socket in sockets:
            if socket not in self._engines:
                self._engines[socket] = Engine(socket)
        return min([self._engines[socket] for socket in sockets], key=lambda engine: engine.in_flight)

    def _lately(self, target: Target) -> bool:
        return time.monotonic() - self._answered.get(target.resource, -LATELY_SECONDS) < LATELY_SECONDS

    async def _once(self, engine: Engine, call: Asking, target: Target) -> Answer:
        engine.in_flight += 1
        try:
            call.connection = await engine.connect()
            if call.gone:
                raise CallerGone
            answer = await call.connection.ask(call.method.encode(), _head(call, target.path), call.body)
            if answer.status == 503 and NOT_READY in answer.body:
                raise NotListening(engine.socket)
        except BaseException:
            self.release(engine, call)
            raise
        self._answered[target.resource] = engine.used = time.monotonic()
        return answer

    def release(self, engine: Engine, call: Asking) -> None:
        """The engine is done with the call, or the call with the engine."""
        engine.in_flight -= 1
        connection, call.connection = call.connection, None
        if connection is not None:
            engine.give_back(connection)

    def tidy(self) -> None:
        """Close connections that nobody uses; forget engines that nobody asks."""
        now = time.monotonic()
        for socket, engine in list(self._engines.items()):
            engine.close_idle(IDLE_SECONDS)
            if not engine.in_flight and now - engine.used > IDLE_SECONDS:
                engine.close_idle()
                del self._engines[socket]
        for resource in [r for r, at in self._answered.items() if now - at > LATELY_SECONDS]:
            del self._answered[resource]

    def close(self) -> None:
        for engine in self._engines.values():
            engine.close_idle()


def _head(call: Asking, path: str) -> bytes:
    """The request's first lines. Of the caller's headers, an engine gets those that say what the body is."""
    lines = [
        f"{call.method} {path} HTTP/1.1\r\nhost: engine\r\ncontent-length: {call.bytes_in}\r\n"
        f"x-deadline-ms: {max(1, int((call.seconds_left - MARGIN_SECONDS) * 1000))}\r\n".encode("latin-1")
    ]
    lines += [b"%b: %b\r\n" % (name, call.headers[name]) for name in PASSED_ON if name in call.headers]
    return b"".join([*lines, b"\r\n"])
