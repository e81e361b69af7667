"""Uploads of a page behind a slow proxy whose console is killed: the proxy holds on to the connections it has."""

import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests import corpus
from tests.running import PASSWORD, RunningConsole, running_console

playwright = pytest.importorskip("playwright.sync_api")
expect = playwright.expect
pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("upload-stalls")]

STALLED_SECONDS = 3


class SlowProxy:
    """Forwards until clients have sent `left` more bytes. Then it calls `then`, neither forwards nor hangs up any
    more, and the next `silent` connections get no answer either. Those that come later are as the first ones were.
    """

    def __init__(self, target: str, then: Callable[[], object], silent: int) -> None:
        address = urlsplit(target)
        self.target = (address.hostname, address.port)
        self.left, self.then, self.silent, self.swallowed = sys.maxsize, then, silent, 0
        self.holding: set[socket.socket] = set()
        self.open: list[socket.socket] = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _address = self.listener.accept()
                self.open.append(client)
                if self.left <= 0 and self.swallowed < self.silent:
                    self.swallowed += 1
                    continue
                server = socket.create_connection(self.target)
                self.open.append(server)
                threading.Thread(target=self._forward, args=(client, server), daemon=True).start()
                threading.Thread(target=self._back, args=(server, client), daemon=True).start()

    def _forward(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while client not in self.holding and (data := client.recv(16384)):
                server.sendall(data)
                if 0 < self.left <= len(data):
                    self.holding.update(self.open)
                    self.left = 0
                    self.then()
                    return
                self.left -= len(data) if self.left > 0 else 0
        if client not in self.holding:
            server.close()

    def _back(self, server: socket.socket, client: socket.socket) -> None:
        with suppress(OSError):
            while data := server.recv(16384):
                client.sendall(data)
        if client not in self.holding:
            client.close()

    def stop(self) -> None:
        with suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        for connection in (self.listener, *self.open):
            connection.close()


@pytest.fixture(scope="module")
def console(tmp_path_factory) -> Iterator[RunningConsole]:
    home = tmp_path_factory.mktemp("console")
    with running_console(home, UPLOAD_STALLED_SECONDS=str(STALLED_SECONDS)) as console:
        yield console


@contextmanager
def slow_proxy(console: RunningConsole, silent: int) -> Iterator[SlowProxy]:
    def kill_web() -> None:
        for process in console.processes():
            if "console.web" in process.cmdline():
                process.kill()

    proxy = SlowProxy(console.url, kill_web, silent)
    try:
        yield proxy
    finally:
        proxy.stop()


@pytest.mark.parametrize("silent", [0, 1])
def test_it_goes_on_when_a_proxy_holds_the_connection_of_a_killed_console(console, page, tmp_path: Path, silent):
    """`silent`: also when the proxy then takes requests that it never answers, those of the page's own retries."""
    zipped = corpus.classification_zip(tmp_path / f"signs {silent}.zip", train=400, size=160)
    with slow_proxy(console, silent) as proxy:
        page.goto(proxy.url)
        page.get_by_label("Username").fill("admin")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        page.get_by_role("navigation", name="Main").get_by_role("link", name="Datasets", exact=True).click()
        page.get_by_role("link", name="Upload").first.click()
        page.get_by_role("radio", name="Image Classification").check()
        page.locator("#id_file").set_input_files(zipped)
        proxy.left = zipped.stat().st_size // 2
        page.get_by_role("button", name="Upload").click()
        expect(page.locator("#upload-text")).to_contain_text("The connection is lost", timeout=30_000)
        expect(page.get_by_role("heading", name=f"signs {silent}")).to_be_visible(timeout=60_000)
        assert proxy.swallowed == silent
