"""The stage URL as a client meets it: a real server on a port, and toy engines on real Unix sockets."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingUnixStreamServer
from typing import Any

import httpx
import uvicorn

from console.web import Protocol
from endpoints.exchange import Receive, Send
from endpoints.http import QuickProtocol
from tests.endpoints.colours import request

Answer = Callable[["Request"], None]


class Request(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    answer: Answer

    def handle_any(self) -> None:
        self.body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        type(self).answer(self)

    do_GET = do_POST = do_PUT = do_HEAD = handle_any

    def reply(self, value: Any, status: int = 200, **headers: str) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        for name, text in {"Content-Type": "application/json", "Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(body)

    def hang_up(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def address_string(self) -> str:
        return "unix"

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the test's own assertions say what was asked."""


@contextmanager
def toy_engine(path: Path, answer: Answer) -> Iterator[str]:
    """An HTTP server on the socket `path` that has `answer` reply to every request. -> the path as a string."""
    handler = type("Toy", (Request,), {"answer": staticmethod(answer)})
    server = ThreadingUnixStreamServer(str(path), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield str(path)
    finally:
        server.shutdown()
        server.server_close()
        path.unlink(missing_ok=True)


@contextmanager
def serving(application: Any, http: type[Protocol] | type[QuickProtocol] = Protocol) -> Iterator[str]:
    """Serve an ASGI application, lifespan and all, as the web process does. -> its address."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        quick = {"http": http, "log_level": "warning", "access_log": False}
        server = uvicorn.Server(uvicorn.Config(application, lifespan="on", **quick))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        while not server.started:
            assert thread.is_alive(), "the server did not start"
            time.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(20)
            assert not thread.is_alive()


async def lifespan(receive: Receive, send: Send) -> None:
    """The start and the end of an application that does nothing at either."""
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})


def table(stages: dict[str, list[dict[str, Any]]], *, default: str = "default", keys: dict[str, Any] | None = None):
    """A route table with the one endpoint "e1", open unless it has keys."""
    return {
        "version": 1,
        "endpoints": {
            "e1": {
                "access": "open" if keys is None else "key",
                "keys": keys or {},
                "default": default,
                "stages": {
                    name: {"id": f"id-of-{name}", "keep_images": False, "resources": r} for name, r in stages.items()
                },
                "rollout": None,
            }
        },
    }


def resource(socket_path: str = "", path: str = "/inference", model: str = "colours") -> dict[str, Any]:
    sockets = [socket_path] if socket_path else []
    return {"id": f"id-of-{path}", "path": path, "model": model, "sockets": sockets}


class Web:
    """A served StageApplication whose route table the test writes."""

    def __init__(self, url: str, table: Path) -> None:
        self.url, self.table = url, table
        self.client = httpx.Client(base_url=url, timeout=30)

    def publish(self, value: dict[str, Any]) -> None:
        new = self.table.with_suffix(".test")
        new.write_text(json.dumps(value))
        new.replace(self.table)

    def post(self, path: str, **options: Any) -> httpx.Response:
        return self.client.post(path, **({"json": request()} | options))


def error(response: httpx.Response) -> tuple[int, str]:
    """Status and code of a refusal, which has the form of all of them."""
    body = response.json()["error"]
    assert set(body) == {"code", "message", "fields"}
    assert response.headers["content-type"] == "application/json"
    return response.status_code, body["code"]
