"""The client of somebody who does not give up: what a kill cuts off is asked again, and nothing is made twice."""

import time
from collections.abc import Callable
from typing import Any

from console.sdk import ApiError, Client
from console.sdk.client import FAILED
from tests.chaos.ledger import LOST, Wrong

PAUSE = 0.3  # seconds between two questions
UNREACHABLE = (0, 502, 503, 504)


class Patient:
    """Every call lasts at most `patience` seconds and then raises Wrong: the job has hung."""

    def __init__(self, url: str, token: str, patience: float) -> None:
        self.url, self.token, self.patience = url, token, patience
        self.client = Client(url, token, timeout=60)

    def get(self, path: str, **parameters: Any) -> Any:
        return self.until(path, lambda: self.client.get(path, **parameters))

    def make(self, kind: str, name: str, post: Callable[[], Any]) -> Any:
        """Make an object of a name that nobody else uses; `post` may have been heard although no answer came."""

        return self.until(f"{kind}/ {name}", lambda: self.named(kind, name) or post())

    def named(self, kind: str, name: str) -> dict[str, Any] | None:
        rows = self.client.get(f"{kind}/", search=name)["results"]
        return next((row for row in rows if row["name"] == name), None)

    def act(self, path: str) -> None:
        """POST something that may be said twice; a conflict says that it was heard the first time."""

        def attempt() -> None:
            try:
                self.client.post(path)
            except ApiError as error:
                if error.status != 409:
                    raise

        self.until(path, attempt)

    def ended(self, path: str, *wanted: str) -> dict[str, Any]:
        """The object once its status is one of `wanted` or a failure."""
        deadline = time.monotonic() + self.patience
        while True:
            found: dict[str, Any] = self.get(path)
            if found["status"] in wanted or found["status"] in FAILED:
                return {**found, "address": path}
            if time.monotonic() > deadline:
                raise Wrong(LOST, f"{path} is still {found['status']} after {self.patience:.0f} s")
            time.sleep(PAUSE)

    def delete(self, path: str) -> None:
        """Until it is gone."""

        def attempt() -> None:
            try:
                self.client.delete(path)
            except ApiError as error:
                if error.status == 404:
                    return
                raise
            raise ApiError(409, "still there", f"{path} is still there")

        self.until(path, attempt, again=(*UNREACHABLE, 409))

    def until(self, what: str, call: Callable[[], Any], again: tuple[int, ...] = UNREACHABLE) -> Any:
        """What `call` returns, as soon as it is not refused with one of the statuses `again`."""
        deadline = time.monotonic() + self.patience
        while True:
            try:
                return call()
            except ApiError as error:
                if error.status not in again:
                    raise Wrong(LOST, f"{what}: {error}") from error
                if time.monotonic() > deadline:
                    raise Wrong(LOST, f"{what} after {self.patience:.0f} s: {error}") from error
            time.sleep(PAUSE)
