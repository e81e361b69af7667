"""A stage that is deployed anew, gets another model or loses engines goes on answering: real engines, under load."""

import os
import signal
import time

import pytest
from django.core.exceptions import ValidationError

from endpoints import routes, services
from endpoints.models import Stage
from endpoints.patience import Patience
from endpoints.processes import EngineProcess
from models_registry.models import Model
from models_registry.services import model_delete
from tests.endpoints.callers import calling
from tests.endpoints.colours import colour_model
from tests.endpoints.conftest import QUICK, Stepping
from tests.endpoints.watching import engine_pids, fresh, is_active, sockets
from training.errors import Conflict

pytestmark = pytest.mark.django_db(transaction=True)

SHADES = ("crimson", "lime", "navy")


@pytest.fixture
def shades(project) -> Model:
    """A model that says crimson to what "colours" calls red."""
    return colour_model(project, "shades", SHADES)


@pytest.fixture
def broken(project) -> Model:
    model = colour_model(project, "broken")
    (model.folder / "model.onnx").write_bytes(b"not a network")
    return model


def of_deployment(supervisor: Stepping, number: int) -> list[EngineProcess]:
    return [engine for engine in supervisor.engines.values() if engine.place.deployment == number]


def has_failed(stage: Stage) -> bool:
    return fresh(stage).status == "DEPLOY_FAILED"


def test_deploying_again_loses_no_call(supervisor, stage, people):
    supervisor.until(lambda: is_active(stage))
    (old,) = supervisor.engines.values()
    with calling(stage.endpoint.path) as callers:
        supervisor.until(callers.more())
        services.stage_redeploy(stage=stage, user=people.owner)
        assert sockets(stage) == [str(old.socket)]
        supervisor.until(lambda: is_active(stage) and not old.running())
        supervisor.until(callers.more())
    assert callers.failed == []
    (new,) = supervisor.engines.values()
    assert new.process != old.process
    assert sockets(stage) == [str(new.socket)]
    assert not old.socket.exists()
    assert old.exit_code == 0, "it answered what it had begun, and ended by itself"


def test_another_model_takes_over_without_a_failed_call(supervisor, stage, resource, shades, model, people):
    supervisor.until(lambda: is_active(stage))
    with calling(stage.endpoint.path) as callers:
        supervisor.until(callers.more())
        services.resource_replace(resource=resource, user=people.owner, model=shades)
        with pytest.raises(Conflict, match="colours / default"):
            model_delete(model=shades, user=people.owner)
        supervisor.until(lambda: is_active(stage))
        supervisor.until(callers.more())
    assert callers.failed == []
    assert (callers.labels[0], callers.labels[-1]) == ("red", "crimson")
    resource.refresh_from_db()
    assert (resource.model, resource.next_model) == (shades, None)
    table = routes.read(routes.table_path())["endpoints"][stage.endpoint_id]
    assert table["stages"]["default"]["resources"][0]["model"] == "shades"
    model_delete(model=model, user=people.owner)  # nothing needs the earlier one now


def test_a_model_that_cannot_be_loaded_leaves_the_present_one_answering(supervisor, stage, resource, broken, people):
    supervisor.until(lambda: is_active(stage))
    (old,) = supervisor.engines.values()
    with calling(stage.endpoint.path) as callers:
        services.resource_replace(resource=resource, user=people.owner, model=broken)
        supervisor.until(lambda: has_failed(stage))
        reason = fresh(stage).status_reason
        assert reason["params"]["model"] == "broken"
        assert "model.onnx" in reason["params"]["log"]
        supervisor.until(callers.more())
        assert engine_pids() == {old.process.pid}
        with pytest.raises(Conflict):
            model_delete(model=broken, user=people.owner)
        services.resource_replace(resource=resource, user=people.owner, model=resource.model)  # taken back
        supervisor.until(lambda: is_active(stage))
    assert callers.failed == []
    assert set(callers.labels) == {"red"}
    model_delete(model=broken, user=people.owner)


def test_what_goes_on_after_a_failed_deployment_is_watched_as_before(supervisor, stage, resource, broken, people):
    supervisor.until(lambda: is_active(stage))
    services.resource_replace(resource=resource, user=people.owner, model=broken)
    supervisor.until(lambda: has_failed(stage))
    (old,) = supervisor.engines.values()
    os.kill(old.process.pid, signal.SIGKILL)
    supervisor.until(lambda: not sockets(stage))
    supervisor.until(lambda: sockets(stage))
    assert has_failed(stage)
    (new,) = supervisor.engines.values()
    assert (new.place.deployment, new.process != old.process) == (1, True)


def test_after_a_restart_of_the_console_too_the_earlier_deployment_answers(supervisor, stage, resource, broken, people):
    supervisor.until(lambda: is_active(stage))
    services.resource_replace(resource=resource, user=people.owner, model=broken)
    supervisor.until(lambda: has_failed(stage))
    supervisor.stop_all()
    assert sockets(stage) == []
    successor = Stepping(QUICK)
    successor.adopt()
    successor.until(lambda: sockets(stage))
    assert [engine.place.deployment for engine in successor.engines.values()] == [1]
    assert has_failed(stage)
    successor.stop_all()


def test_new_engines_that_keep_dying_leave_the_old_one_answering(supervisor, stage, people):
    supervisor.until(lambda: is_active(stage))
    (old,) = supervisor.engines.values()
    services.stage_redeploy(stage=stage, user=people.owner)
    killed = set()

    def kill_the_new_ones() -> bool:
        for engine in of_deployment(supervisor, 2):
            os.kill(engine.process.pid, signal.SIGKILL)
            killed.add(engine.process.pid)
        return has_failed(stage)

    with calling(stage.endpoint.path) as callers:
        supervisor.until(kill_the_new_ones)
        supervisor.until(callers.more())
    assert len(killed) == supervisor.fleet.patience.failed_starts
    assert callers.failed == []
    assert engine_pids() == {old.process.pid}


def test_a_model_whose_engines_do_not_live_gives_way_to_the_one_before(supervisor, stage, resource, shades, people):
    """It was ready and took over; then what callers send kills it again and again."""
    supervisor.fleet.patience = Patience(deaths=2)
    supervisor.until(lambda: is_active(stage))
    services.resource_replace(resource=resource, user=people.owner, model=shades)
    supervisor.until(lambda: is_active(stage) and fresh(resource).model == shades)

    def kill_what_answers() -> bool:
        for engine in of_deployment(supervisor, 2):
            if engine.ready and engine.running():
                os.kill(engine.process.pid, signal.SIGKILL)
        return has_failed(stage)

    supervisor.until(kill_what_answers)
    supervisor.until(lambda: sockets(stage))
    with calling(stage.endpoint.path) as callers:
        supervisor.until(callers.more())
    assert (callers.failed, set(callers.labels)) == ([], {"red"})
    row = fresh(resource)
    assert (row.model.name, row.next_model.name) == ("colours", "shades")
    assert "shades" in fresh(stage).status_reason["params"]["model"]
    services.stage_redeploy(stage=stage, user=people.owner)
    supervisor.until(lambda: is_active(stage) and fresh(resource).model == shades)


def test_an_engine_that_has_not_answered_gets_no_calls(supervisor, stage, people):
    supervisor.until(lambda: is_active(stage))
    (old,) = supervisor.engines.values()
    supervisor.fleet.patience = Patience(ready=3, probe=0.5, stop=0.5)
    services.stage_redeploy(stage=stage, user=people.owner)
    supervisor.until(lambda: of_deployment(supervisor, 2))
    os.kill(of_deployment(supervisor, 2)[0].process.pid, signal.SIGSTOP)  # it will never be ready
    with calling(stage.endpoint.path) as callers:
        while not has_failed(stage):
            assert sockets(stage) == [str(old.socket)]
            supervisor.step()
        supervisor.until(lambda: engine_pids() == {old.process.pid})
    assert callers.failed == []
    assert not is_active(stage)


def test_deploying_again_while_it_deploys_ends_in_the_last_one(supervisor, stage, people):
    supervisor.until(lambda: is_active(stage))
    with calling(stage.endpoint.path) as callers:
        for number in (2, 3):
            services.stage_redeploy(stage=stage, user=people.owner)
            supervisor.until(lambda number=number: of_deployment(supervisor, number))
        supervisor.until(lambda: is_active(stage) and len(supervisor.engines) == 1)
    assert callers.failed == []
    assert len(of_deployment(supervisor, 3)) == 1


def test_another_default_stage_takes_over_without_a_failed_call(supervisor, stage, shades, people):
    endpoint = stage.endpoint
    second = services.stage_create(endpoint=endpoint, user=people.owner, name="second", model=shades)
    supervisor.until(lambda: is_active(stage) and is_active(second))
    with calling(endpoint.path) as callers:
        for target, label in ((second, "crimson"), (stage, "red"), (second, "crimson")):
            services.endpoint_set_default(endpoint=fresh(endpoint), stage=target, user=people.owner)
            supervisor.until(lambda label=label: callers.labels[-1:] == [label])
    assert callers.failed == []


def test_the_next_supervisor_takes_over_under_load(supervisor, stage, people):
    """In the middle of a deployment: what was killed left two deployments' engines."""
    supervisor.until(lambda: is_active(stage))
    services.stage_redeploy(stage=stage, user=people.owner)
    supervisor.until(lambda: of_deployment(supervisor, 2))
    successor = Stepping(QUICK)
    with calling(stage.endpoint.path) as callers:
        time.sleep(0.5)  # nobody watches
        successor.adopt()
        assert {engine.place for engine in successor.engines.values()} == set(supervisor.engines)
        supervisor.engines.clear()
        successor.until(lambda: is_active(stage) and len(successor.engines) == 1)
        successor.until(callers.more())
    assert callers.failed == []
    assert len(of_deployment(successor, 2)) == 1
    successor.stop_all()


def test_sockets_of_engines_that_a_power_cut_ended_are_forgotten(supervisor, stage):
    supervisor.until(lambda: is_active(stage))
    for engine in supervisor.engines.values():
        engine.kill()
    supervisor.engines.clear()
    successor = Stepping(QUICK)
    successor.adopt()
    successor.step()
    assert (sockets(stage), fresh(stage).status) == ([], "DEPLOY_IN_PROGRESS")
    successor.until(lambda: is_active(stage))
    successor.stop_all()


def test_rows_and_engines_of_a_console_that_did_not_count_deployments(supervisor, stage, resource, settings):
    """Its engine answers until one of deployment 1 does; without such an engine the stage just starts."""
    resource.deployment = 0
    resource.save()
    supervisor.until(lambda: is_active(stage))
    (old,) = supervisor.engines.values()
    assert old.socket.name == f"{resource.pk}.sock"
    resource.refresh_from_db()
    resource.deployment, resource.sockets = 1, []
    del resource.settings["deployment"]
    resource.save()
    supervisor.engines.clear()
    successor = Stepping(QUICK)
    successor.adopt()
    successor.step()
    assert sockets(stage) == [str(old.socket)]
    with calling(stage.endpoint.path) as callers:
        successor.until(lambda: is_active(stage) and len(successor.engines) == 1)
    assert callers.failed == []
    assert len(of_deployment(successor, 1)) == 1
    successor.stop_all()


def test_which_models_and_numbers_are_taken(project, other_project, stage, resource, people, shades):
    def refused(**arguments) -> set[str]:
        service = services.resource_replace if "model" in arguments else services.resource_configure
        with pytest.raises(ValidationError) as caught:
            service(resource=resource, user=people.owner, **arguments)
        return set(caught.value.message_dict)

    Model.objects.filter(pk=shades.pk).update(algorithm="object_detection")
    assert refused(model=fresh(shades)) == {"model"}
    assert refused(model=colour_model(other_project, "foreign")) == {"model"}
    assert refused(model=resource.model) == {"model"}
    second = colour_model(project, "second")
    services.resource_add(stage=stage, user=people.owner, model=second, path="/second")
    assert refused(model=second) == {"model"}
    assert refused(replicas=-1, batch_size=0, batch_window_ms=-1.0) == {"replicas", "batch_size", "batch_window_ms"}
    assert refused(replicas=33, batch_size=257, batch_window_ms=float("nan")) == {
        "replicas", "batch_size", "batch_window_ms"
    }  # fmt: skip
    assert fresh(resource).deployment == 1
