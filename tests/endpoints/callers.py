"""Callers that ask a stage without a pause while something happens to it, and keep every answer."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx

from endpoints import routes
from endpoints.invoke import StageApplication
from endpoints.statistics import Recorder
from tests.endpoints.colours import request
from tests.endpoints.web import serving

CALLERS = 4


class Callers:
    """`labels`: the best label of each call that was answered with 200, in order. `failed`: what the others got.

    `headers` go with each call; "Connection: close" among them makes each one connect anew.
    """

    def __init__(self, url: str, headers: Mapping[str, str] | None = None) -> None:
        self.url, self.headers = url, headers
        self.labels: list[str] = []
        self.failed: list[Any] = []
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._call) for _ in range(CALLERS)]

    def _call(self) -> None:
        with httpx.Client(timeout=60, headers=self.headers) as client:
            while not self._stopping.is_set():
                try:
                    answer = client.post(self.url, json=request("red"))
                except httpx.HTTPError as error:
                    self.failed.append(repr(error))
                    continue
                if answer.status_code == 200:
                    self.labels.append(answer.json()[0]["label"])
                else:
                    self.failed.append(answer.text)

    def more(self, count: int = 3 * CALLERS) -> Callable[[], bool]:
        """A condition: so many more calls have been answered than now."""
        wanted = len(self.labels) + count
        return lambda: len(self.labels) >= wanted

    def __enter__(self) -> "Callers":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(70)


@contextmanager
def calling(path: str) -> Iterator[Callers]:
    """Calls `path` of a served StageApplication, which reads the routes that the supervisor publishes."""
    application = StageApplication(routes.table_path(), Recorder(write=lambda calls: None))
    with serving(application) as url, Callers(url + path) as callers:
        yield callers
