"""Callers: each keeps one connection and asks again as soon as it is answered. Counts are fixed, not times."""

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import httptools
import uvloop

REFUSED_SECONDS = 1.0  # until the caller goes on with its next request


class Address(NamedTuple):
    """`where` is a Unix socket, or a port of this host."""

    where: Path | int
    path: str = "/inference"


class Refused(Exception):
    """The server was too busy and said so: 429 or 503."""


class Load(NamedTuple):
    """`latencies` in seconds, one an answered request; `answers` in the order of the requests, b"" if refused."""

    seconds: float
    latencies: list[float]
    answers: list[bytes]

    @property
    def refused(self) -> int:
        return self.answers.count(b"")

    @property
    def per_second(self) -> float:
        return len(self.latencies) / self.seconds


class Caller:
    """One connection. `ask` sends a request and waits for the whole answer."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str) -> None:
        self._reader, self._writer = reader, writer
        self._head = (
            f"POST {path} HTTP/1.1\r\nHost: benchmark\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        )
        self._chunks: list[bytes] = []
        self._done = False

    @classmethod
    async def connect(cls, address: Address) -> "Caller":
        if isinstance(address.where, Path):
            return cls(*await asyncio.open_unix_connection(str(address.where), limit=2**22), address.path)
        return cls(*await asyncio.open_connection("127.0.0.1", address.where, limit=2**22), address.path)

    async def ask(self, body: bytes) -> bytes:
        """The answer's body. Raises Refused; RuntimeError for another status than 200."""
        self._chunks, self._done = [], False
        parser = httptools.HttpResponseParser(self)
        self._writer.write((self._head % len(body)).encode() + body)
        while not self._done:
            data = await self._reader.read(2**20)
            if not data:
                raise RuntimeError("The server closed the connection.")
            parser.feed_data(data)
        answer = b"".join(self._chunks)
        if parser.get_status_code() in {429, 503}:
            raise Refused
        if parser.get_status_code() != 200:
            raise RuntimeError(f"{parser.get_status_code()}: {answer[:500].decode(errors='replace')}")
        return answer

    def on_body(self, data: bytes) -> None:
        self._chunks.append(data)

    def on_message_complete(self) -> None:
        self._done = True

    def close(self) -> None:
        self._writer.close()


async def _load(address: Address, bodies: Sequence[bytes], callers: int) -> Load:
    connections = [await Caller.connect(address) for _ in range(callers)]
    left = iter(enumerate(bodies))
    latencies: list[float] = []
    answers = [b""] * len(bodies)

    async def work(caller: Caller) -> None:
        for index, body in left:
            began = time.perf_counter()
            try:
                answers[index] = await caller.ask(body)
            except Refused:
                await asyncio.sleep(REFUSED_SECONDS)
            else:
                latencies.append(time.perf_counter() - began)

    began = time.perf_counter()
    await asyncio.gather(*map(work, connections))
    seconds = time.perf_counter() - began
    for caller in connections:
        caller.close()
    return Load(seconds, latencies, answers)


def load(address: Address, bodies: Sequence[bytes], callers: int = 1) -> Load:
    """Send the bodies, one after another by each of so many callers. They share the processor with the server: the
    less of it they take themselves, the more of what is measured is the server's."""
    return uvloop.run(_load(address, bodies, callers))
