"""TCP proxies that do to an upload what a bad line does: cut it, or hold on to it without a word."""

import random
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit


class Proxy:
    """Passes on every connection to `target`, until it is stopped. `url` is where clients reach it."""

    def __init__(self, target: str) -> None:
        address = urlsplit(target)
        self.target = (address.hostname, address.port)
        self.open: list[socket.socket] = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def stop(self) -> None:
        """The line is dead, for connections of earlier as well. To close alone would not wake up accept()."""
        with suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        _hang_up(*self.open)

    def takes(self, client: socket.socket) -> bool:
        """Whether a new connection is passed on. One that is not stays open, and gets no answer."""
        return True

    def send(self, data: bytes, client: socket.socket, server: socket.socket) -> bool:
        """Pass on what a client sent. -> whether the connection goes on"""
        server.sendall(data)
        return True

    def end(self, *connections: socket.socket) -> None:
        """One side has hung up."""
        _hang_up(*connections)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _address = self.listener.accept()
                self.open.append(client)
                if not self.takes(client):
                    continue
                try:
                    server = socket.create_connection(self.target)
                except ConnectionRefusedError:  # the server is being started again
                    client.close()
                    continue
                self.open.append(server)
                threading.Thread(target=self._forward, args=(client, server), daemon=True).start()
                threading.Thread(target=self._back, args=(server, client), daemon=True).start()

    def _forward(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while (data := client.recv(16384)) and self.send(data, client, server):
                pass
        self.end(client, server)

    def _back(self, server: socket.socket, client: socket.socket) -> None:
        with suppress(OSError):
            while data := server.recv(16384):
                client.sendall(data)
        self.end(client, server)


class CuttingProxy(Proxy):
    """Counts the bytes that clients send, over all connections; where `places` says so, it cuts the connection."""

    def __init__(self, target: str, places: list[int], on_cut: Callable[[], object]) -> None:
        self.places, self.passed, self.cut, self.on_cut = places, 0, 0, on_cut
        super().__init__(target)

    def send(self, data: bytes, client: socket.socket, server: socket.socket) -> bool:
        if self.places and self.passed + len(data) >= self.places[0]:
            at = self.places.pop(0)
            server.sendall(data[: max(0, at - self.passed)])
            self.passed, self.cut = at, self.cut + 1
            self.on_cut()
            return False
        server.sendall(data)
        self.passed += len(data)
        return True


class HoldingProxy(Proxy):
    """Passes on until clients have sent `left` more bytes. Then it calls `then`, neither passes on nor hangs up any
    more, and the next `silent` connections get no answer either. Those that come later are as the first ones were.
    """

    def __init__(self, target: str, then: Callable[[], object], silent: int) -> None:
        self.left, self.then, self.silent, self.swallowed = sys.maxsize, then, silent, 0
        self.holding: set[socket.socket] = set()
        super().__init__(target)

    def takes(self, client: socket.socket) -> bool:
        if self.left > 0 or self.swallowed == self.silent:
            return True
        self.swallowed += 1
        self.holding.add(client)
        return False

    def send(self, data: bytes, client: socket.socket, server: socket.socket) -> bool:
        if client in self.holding:
            return False
        server.sendall(data)
        if 0 < self.left <= len(data):
            self.holding.update(self.open)
            self.left = 0
            self.then()
            return False
        self.left -= len(data) if self.left > 0 else 0
        return True

    def end(self, *connections: socket.socket) -> None:
        if not self.holding.intersection(connections):
            super().end(*connections)


def _hang_up(*connections: socket.socket) -> None:
    for connection in connections:
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
        connection.close()


@contextmanager
def cutting_proxy(
    target: str, size: int, cuts: int, seed: int = 3, on_cut: Callable[[], object] = lambda: None
) -> Iterator[CuttingProxy]:
    """Stands before the server at `target` and cuts `cuts` times while the first `size` bytes pass."""
    places = sorted(random.Random(seed).sample(range(1, size), cuts))
    proxy = CuttingProxy(target, places, on_cut)
    try:
        yield proxy
    finally:
        proxy.stop()
