"""An engine for the tests of pages: a small HTTP server on the socket of a stage's resource."""

import json
import socketserver
from http.server import BaseHTTPRequestHandler


class Engine(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """Answers every POST with `answer` and keeps what it was sent."""

    daemon_threads = True
    answer: tuple[int, object] = (200, [{"score": 1.0, "label": "cat"}])

    def __init__(self, path: str) -> None:
        self.received: list[tuple[str, dict]] = []
        super().__init__(path, Handler)


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.received.append((self.path, json.loads(body)))
        status, answer = self.server.answer
        payload = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(payload)))
        self.send_header("X-Batch-Size", "1")
        self.end_headers()
        self.wfile.write(payload)

    def address_string(self) -> str:
        return "unix"

    def log_message(self, *_arguments: object) -> None:
        pass
