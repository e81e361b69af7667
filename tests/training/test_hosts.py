"""Several hosts, one console: whose pids count, who takes over, and that no two trainers write into one run folder."""

import os
import shutil
import signal
import time
from datetime import timedelta

import pytest
from django.utils import timezone

from tests.runs import make_dataset, make_run, start_trainer
from tests.training.conftest import ENDLESS, began, reason, running, statuses, trainer_of, wait_for
from training import gpus, lease, runfolder, runner, services
from training.models import Training
from training.processes import ProcessId, session_members
from training.trainer.__main__ import DISPLACED
from training.trainer.checkpoints import newest_complete
from training.trainer.fence import Displaced, Fence


def expired(host: str) -> dict:
    return {"lease_owner": f"{host}:1:1.0:abcd", "lease_until": timezone.now() - timedelta(seconds=1)}


def test_a_runner_whose_training_another_host_took_ends_its_trainer(make_training):
    training = make_training(**ENDLESS)
    with running(training):
        wait_for(training, began)
        trainer = trainer_of(training)
        assert training.host == lease.host_name()
        Training.objects.filter(pk=training.pk).update(lease_owner="elsewhere:1:1.0:abcd")
    assert session_members(trainer) == []
    assert (training.status, training.lease_owner) == ("RUNNING", "elsewhere:1:1.0:abcd")  # the other one's business


def test_a_runner_that_slept_through_the_end_of_its_lease_does_not_judge_its_trainer(make_training):
    """Its host was paused; the training has gone on elsewhere meanwhile."""
    training = make_training(num_train_epochs=100_000, save_steps=100_000)
    with running(training):
        wait_for(training, began)
        trainer = trainer_of(training)
        Training.objects.filter(pk=training.pk).update(lease_owner="elsewhere:1:1.0:abcd")
        os.kill(trainer.pid, signal.SIGKILL)
    assert (training.status, training.attempts, training.pid) == ("RUNNING", 0, trainer.pid)


def test_a_pid_of_another_host_is_neither_looked_at_nor_killed(make_training, people):
    """The pid that the other host noted is, here, this test's own."""
    training = make_training(**ENDLESS)
    me = ProcessId.own()
    pid = {"pid": me.pid, "pid_started": me.started, "host": "elsewhere"}
    Training.objects.filter(pk=training.pk).update(status="RUNNING", step=1, **pid, **expired("elsewhere"))
    with running(training):
        wait_for(training, lambda t: t.attempts == 1 and began(t))
        assert (training.host, "reattached" in statuses(training)) == (lease.host_name(), False)
        assert training.run_seconds == 0  # the other one never wrote an event
        services.training_stop(training=training, user=people.editor)
    assert training.status == "STOPPED"


def test_a_training_that_ended_on_a_host_that_is_gone_is_not_run_again(make_training):
    training = make_training(num_train_epochs=1)
    assert runner.run(training.pk)
    noted = {"pid": 1, "pid_started": time.time() - 60, "host": "elsewhere", **expired("elsewhere")}
    Training.objects.filter(pk=training.pk).update(status="RUNNING", finished_at=None, **noted)
    assert runner.run(training.pk)
    training.refresh_from_db()
    assert (training.status, training.attempts) == ("COMPLETE", 0), reason(training)
    assert training.run_seconds > 30


def test_the_gpus_of_other_hosts_are_not_this_ones(make_training, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    there, here = make_training(), make_training()
    me = ProcessId.own()
    for training, host in ((there, "elsewhere"), (here, lease.host_name())):
        training.folder.mkdir(parents=True)
        (training.folder / "gpu").write_text("0" if training == there else "1")
        Training.objects.filter(pk=training.pk).update(pid=me.pid, pid_started=me.started, host=host)
    chosen = make_training()
    chosen.folder.mkdir()
    assert gpus.choose(chosen) == {"CUDA_VISIBLE_DEVICES": "0"}


def test_a_displaced_trainer_ends_by_itself_and_writes_nothing_more(make_training, tiny):
    """What a host that cannot be reached still runs, when another host has taken its training over."""
    training = make_training(**ENDLESS)
    data = make_dataset("image_classification", training.folder / "elsewhere")
    # Saved so seldom that the pause does not meet a checkpoint between its last look at the fence and its rename.
    changes = {"num_train_epochs": 100_000, "logging_steps": 1, "save_steps": 50}
    trainer = start_trainer(make_run("image_classification", training.folder, data, hyperparameters=changes))
    try:
        deadline = time.monotonic() + 120
        while newest_complete(training.checkpoints_folder) is None:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        os.kill(trainer.pid, signal.SIGSTOP)  # as a virtual machine that is paused
        runfolder.fence(training)
        before = files(training)
        os.kill(trainer.pid, signal.SIGCONT)
        assert trainer.wait(60) == DISPLACED
    finally:
        trainer.kill()
    assert "another trainer has been given this run folder" in training.log_path.read_text()
    assert files(training) == before


def test_a_trainer_without_a_folder_is_displaced_and_so_is_one_that_was_fenced_off_before_it_looked(
    home, tmp_path, monkeypatch
):
    run = make_run("image_classification", tmp_path / "run", tmp_path / "data", attempt="second")
    Fence(run).check()
    deleted = Fence(run)
    monkeypatch.setenv("TRAINING_ATTEMPT", "first")  # as its runner named it
    with pytest.raises(Displaced):
        Fence(run).check()
    shutil.rmtree(run)
    with pytest.raises(Displaced):
        deleted.check()


def files(training) -> dict[str, bytes]:
    """What others read of a run folder."""
    complete = sorted(training.checkpoints_folder.glob("checkpoint-*/manifest.json"))
    read = [training.folder / "events.jsonl", *complete]
    return {str(path): path.read_bytes() for path in read} | {
        "outcome": b"%d" % (training.folder / "outcome.json").exists()
    }
