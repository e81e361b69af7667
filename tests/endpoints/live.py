"""A stage with a key, of a real engine behind the real web application, without a database."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from endpoints.invoke import StageApplication
from endpoints.statistics import Recorder
from tests.endpoints.colours import write_files
from tests.endpoints.web import Web, resource, serving, table
from tests.exported import Engine, engine

KEY = "abcdefgh.0123456789"


class Live(NamedTuple):
    """`url` is the stage's; `engine` the one behind it."""

    url: str
    engine: Engine


@contextmanager
def live_stage(folder: Path, *, is_open: bool = False) -> Iterator[Live]:
    """The model of `colours`, called "colours", at stage "default" of endpoint "e1"; without a key if it is open."""
    write_files(folder / "model")
    digest = "sha512$$" + hashlib.sha512(KEY.encode()).hexdigest()
    keys = {"abcdefgh": {"hash": digest, "expires": None, "calls_per_minute": None}}
    routes = folder / "routes.json"
    application = StageApplication(routes, Recorder(write=lambda calls: None))
    with engine(folder / "model", folder, name="colours") as running, serving(application) as url:
        running.wait_ready()
        Web(url, routes).publish(table({"default": [resource(str(running.path))]}, keys=None if is_open else keys))
        yield Live(f"{url}/stage/e1/default", running)
