"""What the supervisor makes of the rows: real engines with a small model, real signals."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from endpoints import processes, routes, services
from endpoints.models import Endpoint, StageResource
from endpoints.places import Place
from endpoints.processes import Order
from endpoints.supervisor import AlreadyRunning, Patience, only_one
from tests.endpoints.colours import colour_model
from tests.endpoints.conftest import QUICK, Stepping
from tests.endpoints.watching import engine_pids, fresh, is_active, sockets

pytestmark = pytest.mark.django_db(transaction=True)


def only_engine(supervisor: Stepping) -> processes.EngineProcess:
    (engine,) = supervisor.engines.values()
    return engine


def test_stage_is_active_once_its_model_answered_a_probe(supervisor, stage):
    assert sockets(stage) == []
    supervisor.until(lambda: is_active(stage))
    resource = stage.resources.get()
    assert resource.settings["deployment"] == 1
    assert processes.probe(routes.socket_path(resource.pk))["pid"] == only_engine(supervisor).process.pid
    assert sockets(stage) == [str(routes.socket_path(resource.pk))]
    assert fresh(stage.endpoint).status == "ACTIVE"
    moves = list(stage.endpoint.events().order_by("id").values_list("to_status", flat=True))
    assert moves == ["CREATE_REQUESTED", "CREATE_IN_PROGRESS", "ACTIVE"]


def test_model_whose_name_looks_like_an_option_is_served(supervisor, stage, model):
    type(model).objects.filter(pk=model.pk).update(name="-cats")
    supervisor.until(lambda: is_active(stage))


def test_killed_engine_is_replaced_within_seconds(supervisor, stage):
    supervisor.until(lambda: is_active(stage))
    old = only_engine(supervisor).process
    os.kill(old.pid, signal.SIGKILL)
    began = time.monotonic()
    supervisor.until(lambda: not is_active(stage), seconds=2)
    assert sockets(stage) == []
    supervisor.until(lambda: is_active(stage), seconds=30)
    assert time.monotonic() - began < 30
    assert only_engine(supervisor).process != old
    assert engine_pids() == {only_engine(supervisor).process.pid}


def test_hung_engine_is_killed_and_replaced(supervisor, stage):
    supervisor.fleet.patience = Patience(probe=0.5, hung=1)
    supervisor.until(lambda: is_active(stage))
    old = only_engine(supervisor).process
    os.kill(old.pid, signal.SIGSTOP)  # alive, connects, and never answers
    supervisor.until(lambda: not old.alive(), seconds=30)
    supervisor.until(lambda: is_active(stage))


def test_engine_that_keeps_dying_fails_the_stage(supervisor, stage):
    supervisor.fleet.patience = Patience(deaths=2)
    for _ in range(2):
        supervisor.until(lambda: is_active(stage))
        os.kill(only_engine(supervisor).process.pid, signal.SIGKILL)
        supervisor.until(lambda: not is_active(stage))
    assert fresh(stage).status == "DEPLOY_FAILED"
    reason = fresh(stage).status_reason
    assert "memory" in reason["text"]
    assert reason["params"]["deaths"] == 2
    assert fresh(stage.endpoint).status == "UPDATE_FAILED"
    time.sleep(0.5)
    supervisor.step()
    assert engine_pids() == set()


def test_model_that_cannot_be_loaded_fails_the_stage_with_the_engines_words(supervisor, stage, model):
    (model.folder / "model.onnx").write_bytes(b"not a network")
    supervisor.until(lambda: fresh(stage).status == "DEPLOY_FAILED")
    reason = fresh(stage).status_reason
    assert reason["params"]["model"] == "colours"
    assert "model.onnx" in reason["params"]["log"]
    assert fresh(stage.endpoint).status == "CREATE_FAILED"
    assert engine_pids() == set()


def test_model_that_is_not_ready_in_time_fails_the_stage_and_leaves_no_process(supervisor, stage):
    supervisor.fleet.patience = Patience(ready=0.1, stop=5)
    supervisor.until(lambda: fresh(stage).status == "DEPLOY_FAILED", seconds=10)
    assert fresh(stage).status_reason["params"]["seconds"] == "0.1"
    supervisor.until(lambda: not engine_pids(), seconds=10)


def test_missing_files_fail_the_stage_and_redeploying_mends_it(supervisor, stage, people, model):
    kept = model.folder.with_suffix(".kept")
    model.folder.rename(kept)
    supervisor.until(lambda: fresh(stage).status == "DEPLOY_FAILED", seconds=2)
    assert "missing" in fresh(stage).status_reason["text"]
    kept.rename(model.folder)
    services.stage_redeploy(stage=stage, user=people.owner)
    supervisor.until(lambda: is_active(stage))
    assert fresh(stage.endpoint).status == "ACTIVE"


def test_second_model_is_added_while_the_first_goes_on(supervisor, stage, people, project):
    supervisor.until(lambda: is_active(stage))
    first = only_engine(supervisor).process
    other = colour_model(project, "shades", ("crimson", "lime", "navy"))
    added = services.resource_add(stage=stage, user=people.owner, model=other, path="/shades")
    assert fresh(stage).status == "DEPLOY_IN_PROGRESS"
    assert sockets(stage) != []
    supervisor.until(lambda: is_active(stage))
    assert first.alive()
    assert processes.probe(routes.socket_path(added.pk))["pid"] != first.pid
    assert len(supervisor.engines) == 2


def test_deleting_an_endpoint_leaves_no_process_row_socket_or_log(supervisor, stage, people):
    supervisor.until(lambda: is_active(stage))
    engine = only_engine(supervisor)
    services.endpoint_delete(endpoint=stage.endpoint, user=people.owner)
    assert stage.endpoint_id not in routes.read(routes.table_path())["endpoints"]
    supervisor.until(lambda: not Endpoint.objects.exists())
    assert not engine.process.alive()
    assert not engine.socket.exists()
    assert not processes.log_path(engine.place.resource_id).exists()
    assert StageResource.objects.count() == 0
    assert stage.endpoint.events().latest("id").to_status == "deleted"


def test_next_supervisor_goes_on_with_living_engines(supervisor, stage):
    supervisor.until(lambda: is_active(stage))
    engine = only_engine(supervisor).process
    successor = Stepping(QUICK)
    successor.adopt()
    assert only_engine(successor).process == engine
    for _ in range(5):
        successor.step()
        assert is_active(stage)
    os.kill(engine.pid, signal.SIGKILL)
    supervisor.engines.clear()
    successor.until(lambda: not is_active(stage))
    successor.until(lambda: is_active(stage))
    successor.stop_all()
    assert engine_pids() == set()


def test_engine_that_belongs_to_no_stage_is_killed_at_start(supervisor, model):
    stray = processes.start(Order(Place("0" * 20, 1, 0), model, "/inference", threads=1))
    supervisor.adopt()
    assert not stray.running()
    assert supervisor.engines == {}


def test_stopping_leaves_no_engine_and_says_so(supervisor, stage):
    supervisor.until(lambda: is_active(stage))
    supervisor.stop_all()
    assert engine_pids() == set()
    assert fresh(stage).status == "DEPLOY_IN_PROGRESS"
    assert sockets(stage) == []


def test_only_one_supervisor_serves_a_home(home):
    code = (
        "import fcntl, sys\nfile = open(sys.argv[1], 'w')\nfcntl.flock(file, fcntl.LOCK_EX)\n"
        "print('held', flush=True)\nsys.stdin.read()"
    )
    lock = home / "run" / "stages.lock"
    other = subprocess.Popen(
        [sys.executable, "-c", code, str(lock)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert other.stdout.readline() == "held\n"
    with pytest.raises(AlreadyRunning), only_one():
        pass
    other.kill()
    other.wait()
    with only_one():
        pass


def test_a_replaced_engine_answers_under_the_runtime_that_the_deployment_had(supervisor, stage):
    """Another one could answer a little differently, and measuring takes time."""
    supervisor.until(lambda: is_active(stage))
    resource = stage.resources.get()
    assert "--runtime" not in psutil.Process(only_engine(supervisor).process.pid).cmdline()
    killed = only_engine(supervisor).process
    os.kill(killed.pid, signal.SIGKILL)
    supervisor.until(lambda: supervisor.engines and only_engine(supervisor).process != killed)
    supervisor.until(lambda: only_engine(supervisor).ready)
    command = psutil.Process(only_engine(supervisor).process.pid).cmdline()
    assert command[command.index("--runtime") + 1] == resource.settings["runtime"]
    assert command[command.index("--precision") + 1] == resource.settings["precision"]
    assert only_engine(supervisor).info["runtime"] == resource.settings["runtime"]


def test_a_site_may_keep_every_stage_in_fp32(supervisor, stage, settings):
    settings.SERVING_PRECISION = "fp32"
    supervisor.until(lambda: is_active(stage))
    command = psutil.Process(only_engine(supervisor).process.pid).cmdline()
    assert command[command.index("--precision") + 1] == "fp32"


def test_a_stage_that_answered_comes_back_though_its_engine_is_killed_while_it_starts_again(supervisor, stage):
    supervisor.until(lambda: is_active(stage))
    for _ in range(4):  # one more than the starts after which a new deployment is given up
        engine = only_engine(supervisor)
        os.kill(engine.process.pid, signal.SIGKILL)
        supervisor.until(lambda: supervisor.engines and only_engine(supervisor) is not engine)  # noqa: B023
    supervisor.until(lambda: is_active(stage) and sockets(stage))
    assert only_engine(supervisor).ready
