"""A TCP proxy that cuts connections at random bytes: what a bad line does to an upload."""

import random
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit


class Proxy:
    """Counts the bytes that clients send, over all connections; where `places` says so, it cuts the connection."""

    def __init__(self, target: str, places: list[int], on_cut: Callable[[], object]) -> None:
        address = urlsplit(target)
        self.target = (address.hostname, address.port)
        self.places, self.passed, self.cut, self.on_cut = places, 0, 0, on_cut
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

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _address = self.listener.accept()
                try:
                    server = socket.create_connection(self.target)
                except ConnectionRefusedError:  # the server is being started again
                    client.close()
                    continue
                self.open += [client, server]
                threading.Thread(target=self._forward, args=(client, server), daemon=True).start()
                threading.Thread(target=self._back, args=(server, client), daemon=True).start()

    def _forward(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while data := client.recv(16384):
                if self.places and self.passed + len(data) >= self.places[0]:
                    at = self.places.pop(0)
                    server.sendall(data[: max(0, at - self.passed)])
                    self.passed, self.cut = at, self.cut + 1
                    self.on_cut()
                    break
                server.sendall(data)
                self.passed += len(data)
        _hang_up(client, server)

    def _back(self, server: socket.socket, client: socket.socket) -> None:
        with suppress(OSError):
            while data := server.recv(16384):
                client.sendall(data)
        _hang_up(client, server)


def _hang_up(*connections: socket.socket) -> None:
    for connection in connections:
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
        connection.close()


@contextmanager
def cutting_proxy(
    target: str, size: int, cuts: int, seed: int = 3, on_cut: Callable[[], object] = lambda: None
) -> Iterator[Proxy]:
    """Stands before the server at `target` and cuts `cuts` times while the first `size` bytes pass."""
    places = sorted(random.Random(seed).sample(range(1, size), cuts))
    proxy = Proxy(target, places, on_cut)
    try:
        yield proxy
    finally:
        proxy.stop()
