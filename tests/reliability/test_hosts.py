"""Two hosts run trainings for one console: each training once, and the work of a host that dies goes on."""

import time

import pytest

from tests.reliability.hosts import Hosts, is_apart
from tests.reliability.test_training_kills import STOP, seconds_until
from tests.runs import events_of
from training.heartbeats import STALE_SECONDS

pytestmark = [pytest.mark.postgres, pytest.mark.redis]

MOVES = ["CREATE_REQUESTED", "CREATE_IN_PROGRESS", "RUNNING", "COMPLETE_IN_PROGRESS", "COMPLETE"]
WAKE = "from training import reconcile; reconcile.wake_slots()"  # what the reconcile does each minute
EXPIRED = "SELECT lease_until < now() FROM training_training WHERE id = %s"


def take_over(hosts, training) -> None:
    seconds_until(lambda: hosts.query(EXPIRED, training) == [(True,)])
    hosts.shell(WAKE)


@pytest.fixture
def hosts(tmp_path, database, broker):
    if not is_apart():
        pytest.skip("this machine does not let us hide processes from each other (unshare --pid)")
    hosts = Hosts(tmp_path / "home", database, broker)
    hosts.home.mkdir()
    hosts.set_up()
    yield hosts
    hosts.kill_everything()


def test_each_training_runs_once_and_those_of_a_dead_host_go_on_on_another(hosts):
    trainings = hosts.create_many(8, num_train_epochs=1)
    hosts.start_host("north")
    hosts.start_host("south")
    seconds_until(
        lambda: hosts.query("SELECT count(*) FROM training_training WHERE status = 'COMPLETE'") == [(8,)], 240
    )
    assert (hosts.home / "run" / "training@north.heartbeat").read_text().split()[0] == "1"  # its slots
    for training in trainings:
        assert hosts.row(training, "attempts") == (0,)
        assert [event for event in hosts.events(training) if event.isupper()] == MOVES, hosts.logs()
        phases = [event["phase"] for event in events_of(hosts.home / "trainings" / training, "phase")]
        assert (phases.count("preparing"), phases.count("saving")) == (1, 1)
    assert {hosts.row(training, "host") for training in trainings} == {("north",), ("south",)}

    (long,) = hosts.create_many(1, num_train_epochs=100, save_steps=10)
    seconds_until(lambda: hosts.row(long, "status")[0] == "RUNNING" and hosts.row(long, "step")[0] > 20)
    (dead,) = hosts.row(long, "host")
    hosts.kill_host(dead)
    assert hosts.row(long, "status") == ("RUNNING",)  # nobody was left to say otherwise
    take_over(hosts, long)
    seconds_until(lambda: hosts.row(long, "status") == ("COMPLETE",))
    assert hosts.row(long, "host", "attempts") == ({"north": "south", "south": "north"}[dead], 1)
    assert "goes on from step" in (hosts.home / "trainings" / long / "train.log").read_text()


def test_a_trainer_whose_host_was_cut_off_ends_when_another_host_has_taken_its_training_over(hosts):
    """It lives, nobody can reach it, and it must not write into the run folder any more."""
    (training,) = hosts.create_many(1, num_train_epochs=100_000, save_steps=10)
    hosts.start_host("north")
    seconds_until(lambda: hosts.row(training, "step")[0] > 20)
    hosts.kill_worker("north")
    (old,) = hosts.processes_of("north", "training.trainer")
    hosts.start_host("south")
    take_over(hosts, training)
    seconds_until(lambda: hosts.row(training, "host", "attempts", "status") == ("south", 1, "RUNNING"))
    seconds_until(lambda: hosts.processes_of("north", "training.trainer") == [])
    assert not old.is_running()
    log = (hosts.home / "trainings" / training / "train.log").read_text()
    assert "another trainer has been given this run folder: this one ends" in log
    (step,) = hosts.row(training, "step")
    seconds_until(lambda: hosts.row(training, "step")[0] > step + 10)
    hosts.shell(STOP.format(training=training))
    seconds_until(lambda: hosts.row(training, "status") == ("STOPPED",))
    steps = "SELECT step FROM training_metricpoint WHERE training_id = %s AND name = 'loss' ORDER BY step"
    seen = [step for (step,) in hosts.query(steps, training)]
    assert seen == list(range(1, len(seen) + 1))
    assert hosts.processes_of("south", "training.trainer") == []


def test_what_asks_for_a_gpu_goes_to_the_host_that_has_one_and_fails_with_the_reason_when_none_lives(hosts):
    """That south has one is only said: there its trainers end for want of it, where this machine has none."""
    heartbeats = {name: hosts.home / "run" / f"training@{name}.heartbeat" for name in ("north", "south")}
    trainings = hosts.create_many(3, device="cuda", num_train_epochs=1)
    hosts.start_host("south", CUDA_VISIBLE_DEVICES="0")
    seconds_until(heartbeats["south"].exists)
    hosts.start_host("north", CUDA_VISIBLE_DEVICES="")
    seconds_until(heartbeats["north"].exists)
    assert [path.read_text() for path in heartbeats.values()] == ["1 0", "1 1"]
    seconds_until(
        lambda: hosts.query("SELECT count(*) FROM training_training WHERE finished_at IS NOT NULL") == [(3,)], 240
    )
    assert {hosts.row(training, "host") for training in trainings} == {("south",)}, hosts.logs()

    hosts.kill_host("south")
    seconds_until(lambda: time.time() - heartbeats["south"].stat().st_mtime > STALE_SECONDS)
    (last,) = hosts.create_many(1, device="cuda", num_train_epochs=1)
    seconds_until(lambda: hosts.row(last, "status") == ("CREATE_FAILED",), 120)
    assert hosts.row(last, "host") == ("north",)
    assert "no GPU" in str(hosts.row(last, "status_reason"))
