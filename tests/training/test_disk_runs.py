"""Trainings on a disk that takes no more: they go on without a checkpoint, or end with the reason. Real small disks."""

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import use_home
from tests.disks import fill, read_only, small_disk
from tests.runs import ROOT, events_of, make_dataset, make_run, start_trainer, train
from tests.training.conftest import running, wait_for
from training import runner, services
from training.algorithms.base import Message
from training.models import Training
from training.trainer import checkpoints
from training.verdict import judge

STEPS = {"num_train_epochs": 5, "per_device_train_batch_size": 2, "save_steps": 5, "logging_steps": 1}  # 20 steps


@pytest.fixture
def data(tmp_path):
    return make_dataset("image_classification", tmp_path)


@pytest.fixture
def home(settings, tmp_path):
    """A CONSOLE_HOME of 8 MB: a checkpoint of the tests' network has 1 MB."""
    with small_disk(tmp_path / "small", "8m") as folder:
        yield use_home(settings, folder)


def a_run(folder: Path, data: Path) -> Path:
    return make_run("image_classification", folder, data, hyperparameters=STEPS)


def warning_of(run: Path) -> str:
    return str(Message.from_json(events_of(run, "warning")[-1]))


def test_without_room_for_a_checkpoint_the_training_goes_on_and_says_so(tmp_path, data):
    with small_disk(tmp_path / "small", "2600k") as small:
        run = a_run(small / "run", data)
        assert train(run) == 0, (run / "train.log").read_text()
        assert [event["step"] for event in events_of(run, "checkpoint")] == [5]
        assert checkpoints.newest_complete(run / "checkpoints").name == "checkpoint-5"
        assert not (run / "checkpoints" / "partial").exists()
        assert (run / "model" / "model.json").exists()
        assert "goes on from step 5" in warning_of(run)
        assert "of the disk are free" in warning_of(run)


def test_older_checkpoints_make_room_for_the_newest(tmp_path, data):
    with small_disk(tmp_path / "small", "4500k") as small:
        run = a_run(small / "run", data)
        assert train(run) == 0, (run / "train.log").read_text()
        assert [event["step"] for event in events_of(run, "checkpoint")] == [5, 10, 15, 20]
        assert checkpoints.newest_complete(run / "checkpoints").name == "checkpoint-20"
        assert "checkpoint-5 is removed" in (run / "train.log").read_text()
        assert [event["code"] for event in events_of(run, "warning")] == []


def test_that_there_is_no_room_is_said_before_the_first_step(tmp_path, data):
    with small_disk(tmp_path / "small", "1800k") as small:
        run = a_run(small / "run", data)
        assert train(run) == 0, (run / "train.log").read_text()
        kinds = [event["type"] for event in events_of(run)]
        assert kinds.index("warning") < kinds.index("metric")
        assert "There is no room for a checkpoint" in str(Message.from_json(events_of(run, "warning")[0]))
        assert events_of(run, "checkpoint") == []
        assert (run / "model" / "model.json").exists()


def limited(run: Path, most_bytes: int) -> int:
    """Run the trainer with a limit on the size of each file it writes. -> exit code"""
    process = start_trainer(run)
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (most_bytes, most_bytes))
    try:
        return process.wait(300)
    finally:
        process.kill()


def test_a_checkpoint_that_fails_halfway_leaves_nothing_behind(tmp_path, data):
    """The optimiser's file is larger than the limit, so that room for it is there and writing it still fails."""
    run = a_run(tmp_path / "run", data)
    assert limited(run, 500_000) == 0, (run / "train.log").read_text()
    assert events_of(run, "checkpoint") == []
    assert list((run / "checkpoints").iterdir()) == []
    assert "starts anew" in warning_of(run)
    assert (run / "model" / "model.safetensors").stat().st_size > 300_000


def test_a_model_that_cannot_be_written_is_a_failure_with_the_reason(tmp_path, data):
    run = a_run(tmp_path / "run", data)
    assert limited(run, 200_000) == 1
    assert not (run / "model").exists()
    failure = events_of(run, "failure")[-1]
    assert failure["code"] == "disk"
    assert "may not become so large" in str(Message.from_json(failure))


def test_a_training_whose_disk_fills_up_ends_with_the_reason_and_resumes_when_there_is_room(home, make_training):
    training = make_training(num_train_epochs=100_000, save_steps=20)
    with running(training):
        wait_for(training, lambda t: t.step > 25)
        ballast = fill(home)
        wait_for(training, lambda t: t.status == "FAIL_TRAIN")
    assert "disk is full" in str(Message.from_json(training.status_reason))
    assert not list(training.checkpoints_folder.glob("partial/*"))
    ballast.unlink()
    step = checkpoints.step_of(checkpoints.newest_complete(training.checkpoints_folder))
    hyperparameters = {**training.hyperparameters, "num_train_epochs": step // 4 + 20}
    Training.objects.filter(pk=training.pk).update(hyperparameters=hyperparameters)
    training.refresh_from_db()
    services.training_resume(training=training, user=training.project.members.first())
    with running(training):
        pass
    assert (training.status, training.status_reason) == ("COMPLETE", None)
    assert f"goes on from step {step}" in training.log_path.read_text()


def test_a_training_on_a_read_only_disk_says_so(home, make_training):
    training = make_training()
    read_only(home)
    assert runner.run(training.pk)
    training.refresh_from_db()
    assert training.status == "CREATE_FAILED"
    assert "read-only" in json.dumps(training.status_reason)


def test_a_file_where_the_trainings_folder_should_be_is_named(home, make_training):
    training = make_training()
    (home / "trainings").write_text("in the way")
    assert runner.run(training.pk)
    training.refresh_from_db()
    assert training.status == "CREATE_FAILED"
    assert f"trainings/{training.pk}" in str(Message.from_json(training.status_reason))


def test_when_not_even_the_reason_can_be_written_the_exit_code_says_it(home, make_training, data):
    training = make_training()
    run = a_run(training.folder, data)
    read_only(home)
    command = [sys.executable, "-m", "training.trainer", str(run)]
    trainer = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=300, check=False)
    assert trainer.returncode == 4
    assert b"read-only" in trainer.stdout
    verdict = judge(training, None, 4)
    assert verdict.kind == "failed"
    assert "read-only" in str(verdict.reason)
