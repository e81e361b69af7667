"""`python -m console.web`: the web process, on the socket WEB_FD that the launcher holds, else on HOST:PORT.

SIGTERM ends it without losing a call: what was begun is answered, and what is just being sent on an open connection
too. Whoever connects from then on waits at the launcher's socket for the next web process.
"""

import os
import socket

import uvicorn

from endpoints.http import QuickProtocol

LINGER_SECONDS = 1.0  # an idle connection is kept open so long: a request may be on its way already
FINISH_SECONDS = 10


class Protocol(QuickProtocol):
    """uvicorn's own closes idle connections at once when the process is to end."""

    ending = False

    def is_quick(self, path: str) -> bool:
        return path.startswith("/stage/")  # as console.asgi decides who answers

    def shutdown(self) -> None:
        self.ending = True
        if self._idle:
            self.loop.call_later(LINGER_SECONDS, self._close_when_idle)
        else:
            self.cycle.keep_alive = False

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        if self.ending and self.cycle is not None:
            self.cycle.keep_alive = False  # the answer says "Connection: close", and the connection ends with it

    @property
    def _idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _close_when_idle(self) -> None:
        if self._idle and not self.transport.is_closing():
            self.transport.close()


def main() -> None:
    config = uvicorn.Config(
        "console.asgi:application",
        host=os.environ.get("HOST", "127.0.0.1"),
        port=int(os.environ.get("PORT", "8000")),
        http=Protocol,
        ws="none",
        access_log=False,
        timeout_graceful_shutdown=FINISH_SECONDS,
    )
    # Not uvicorn's own `fd`: it takes every socket for a Unix one. Without TCP_NODELAY, each answer takes 40 ms longer.
    descriptor = os.environ.get("WEB_FD")
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=int(descriptor))] if descriptor else None)


if __name__ == "__main__":
    main()
