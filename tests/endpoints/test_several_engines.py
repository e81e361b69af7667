"""The engines of one resource: several at once, added, ended, killed and grown, under load."""

import os
import signal

import pytest

from endpoints import services
from tests.endpoints.callers import calling
from tests.endpoints.watching import engine_pids, is_active, sockets

pytestmark = pytest.mark.django_db(transaction=True)


def test_one_of_two_engines_is_killed_and_no_call_fails(supervisor, stage):
    stage.resources.update(replicas=2)
    supervisor.until(lambda: len(sockets(stage)) == 2)
    killed = next(iter(supervisor.engines.values())).process
    with calling(stage.endpoint.path) as callers:
        supervisor.until(callers.more())
        os.kill(killed.pid, signal.SIGKILL)
        supervisor.until(lambda: len(sockets(stage)) == 1)
        assert is_active(stage)
        supervisor.until(lambda: len(sockets(stage)) == 2)
        supervisor.until(callers.more())
        assert is_active(stage)
    assert callers.failed == []
    assert killed.pid not in engine_pids()
    moves = stage.endpoint.events().model.objects.filter(kind="stage", object_id=stage.pk)
    assert moves.filter(to_status="engine_replaced").count() == 1


def test_a_resource_is_ready_with_its_first_engine(supervisor, stage):
    stage.resources.update(replicas=2)
    supervisor.until(lambda: len(supervisor.engines) == 2)
    first, second = supervisor.engines.values()
    os.kill(second.process.pid, signal.SIGSTOP)
    supervisor.until(lambda: is_active(stage))
    assert sockets(stage) == [str(first.socket)]
    os.kill(second.process.pid, signal.SIGCONT)
    supervisor.until(lambda: len(sockets(stage)) == 2)


def test_engines_are_added_and_ended_while_calls_go_on(supervisor, stage, resource, people):
    supervisor.until(lambda: is_active(stage))
    with calling(stage.endpoint.path) as callers:
        services.resource_configure(resource=resource, user=people.owner, replicas=2)
        assert is_active(stage)
        supervisor.until(lambda: len(sockets(stage)) == 2)
        supervisor.until(callers.more())
        services.resource_configure(resource=resource, user=people.owner, replicas=1)
        supervisor.until(lambda: len(supervisor.engines) == 1)
        supervisor.until(callers.more())
    assert callers.failed == []
    assert is_active(stage)
    assert len(engine_pids()) == 1


def test_an_engine_that_takes_too_much_memory_is_replaced_beside_itself(supervisor, stage, settings):
    supervisor.until(lambda: is_active(stage))
    (old,) = supervisor.engines.values()
    with calling(stage.endpoint.path) as callers:
        settings.STAGE_ENGINE_MEMORY_BYTES = 1
        supervisor.until(lambda: old.outgrown)
        settings.STAGE_ENGINE_MEMORY_BYTES = 0
        supervisor.until(lambda: sockets(stage) != [str(old.socket)])
        supervisor.until(lambda: not old.running())
        supervisor.until(callers.more())
        assert is_active(stage)
    assert callers.failed == []
    assert len(engine_pids()) == 1
    event = stage.endpoint.events().model.objects.get(to_status="engine_replaced")
    assert "memory" in event.reason["text"]
