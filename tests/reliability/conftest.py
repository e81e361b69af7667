"""What the tests of killed processes share: a home with its database, and a PostgreSQL and a Redis of a test's own."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.services import Absent, empty_broker, empty_database
from tests.reliability.worker import Console


@pytest.fixture(scope="session")
def template(tmp_path_factory) -> Path:
    """A home with its database, made once."""
    home = tmp_path_factory.mktemp("home")
    Console(home).set_up()
    return home


@pytest.fixture
def console(template, tmp_path) -> Iterator[Console]:
    console = Console(shutil.copytree(template, tmp_path / "home"))
    yield console
    console.kill_everything()


@pytest.fixture
def database() -> Iterator[str]:
    """The URL of an empty database that is dropped at the end; without such a server the test is skipped."""
    try:
        with empty_database() as url:
            yield url
    except Absent as absent:
        pytest.skip(str(absent))


@pytest.fixture
def broker() -> Iterator[str]:
    """The URL of an empty Redis database that is empty again at the end; without such a server it is skipped."""
    try:
        with empty_broker() as url:
            yield url
    except Absent as absent:
        pytest.skip(str(absent))
