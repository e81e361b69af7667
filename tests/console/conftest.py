"""Who looks at the pages, and what they look at."""

import threading
from collections.abc import Iterator

import pytest
from django.test import Client

from endpoints import routes
from endpoints.models import Endpoint
from models_registry.models import Model
from tests.console import served
from tests.console.small_engine import Engine
from training.models import Dataset


@pytest.fixture
def editor(browser_of, people) -> Client:
    return browser_of(people.editor)


@pytest.fixture
def viewer(browser_of, people) -> Client:
    return browser_of(people.viewer)


@pytest.fixture
def outsider(browser_of, people) -> Client:
    return browser_of(people.outsider)


@pytest.fixture
def pets(home, project) -> Dataset:
    return served.dataset(project)


@pytest.fixture
def model(home, project) -> Model:
    """Of a dataset whose test images are there."""
    return served.model(served.training(served.with_images(served.dataset(project), "test")))


@pytest.fixture
def endpoint(model) -> Endpoint:
    return served.endpoint(model)


@pytest.fixture
def engine(endpoint) -> Iterator[Engine]:
    path = routes.socket_path(endpoint.default_stage.resources.get().pk)
    endpoint.default_stage.resources.update(sockets=[path.name])
    with Engine(str(path)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()
