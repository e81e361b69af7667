import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from endpoints import services
from endpoints.models import Stage, StageResource
from endpoints.supervisor import Patience, Supervisor
from models_registry.models import Model
from tests.conftest import People
from tests.endpoints.colours import colour_model
from training.models import Project

QUICK = Patience(ready=30, hung=1.5, stop=5)


@pytest.fixture
def model(home: Path, project: Project) -> Model:
    return colour_model(project)


@pytest.fixture
def stage(project: Project, people: People, model: Model) -> Stage:
    """The default stage of an open endpoint. It has one engine, whatever the host has."""
    endpoint, _ = services.endpoint_create(
        project=project, user=people.owner, name="colours", model=model, access="open"
    )
    stage = endpoint.default_stage
    assert stage is not None
    stage.resources.update(replicas=1)
    return stage


class Stepping(Supervisor):
    """The real supervisor, stepped by the test: its engines are real processes."""

    def until(self, condition: Callable[[], object], seconds: float = 30) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, "the supervisor did not get there in time"
            self.step()
            time.sleep(0.05)


@pytest.fixture
def supervisor(home: Path) -> Iterator[Stepping]:
    stepping = Stepping(QUICK)
    yield stepping
    stepping.stop_all()


@pytest.fixture
def resource(stage) -> StageResource:
    return stage.resources.get()
