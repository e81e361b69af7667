"""A stop in each phase of a training, with real processes: quick, the right status, and nothing is left."""

import itertools
import json
import os
import signal
import time
from contextlib import suppress

import psutil
import pytest

from tests.runs import ROOT, make_dataset
from tests.training.conftest import ENDLESS, began, reason, running, statuses, trainer_of, wait_for
from tests.training.test_runner import nothing_left, run_past_its_time
from training import processes, runner, services
from training.trainer.checkpoints import newest_complete, step_of


@pytest.fixture
def grace(tiny, settings):
    """So long that a trainer which had to be killed would make its test fail: running() waits 120 s."""
    settings.STOP_GRACE_SECONDS = 300


def stop(training, people) -> processes.ProcessId:
    """As the page does. -> the trainer that it concerned"""
    trainer = trainer_of(training)
    services.training_stop(training=training, user=people.editor)
    return trainer


def phases(training) -> list[str]:
    path = training.folder / "events.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return [event["phase"] for event in map(json.loads, lines) if event["type"] == "phase"]


def test_queued(make_training, people):
    """No process was there, and none comes: its task finds nothing to do."""
    training = make_training(**ENDLESS)
    services.training_stop(training=training, user=people.editor)
    assert runner.run(training.pk) is False
    training.refresh_from_db()
    assert (training.status, training.started_at) == ("STOPPED", None)
    assert not training.folder.exists()


def held_at(phase: str, training) -> processes.ProcessId:
    """The trainer, stopped by the system when it has said that `phase` begins."""
    wait_for(training, lambda t: t.pid)
    trainer = trainer_of(training)
    deadline = time.monotonic() + 120
    while phase not in phases(training):
        assert time.monotonic() < deadline
        time.sleep(0.001)
    os.kill(trainer.pid, signal.SIGSTOP)
    return trainer


def test_while_python_is_still_starting(make_training, grace, people):
    training = make_training(**ENDLESS)
    with running(training):
        wait_for(training, lambda t: t.pid)
        trainer = stop(training, people)
    assert training.status == "STOPPED"
    nothing_left(training, trainer)


def test_preparing(make_training, grace, people):
    training = make_training(**ENDLESS)
    with running(training):
        trainer = held_at("preparing", training)
        stop(training, people)
        os.kill(trainer.pid, signal.SIGCONT)
    assert training.status == "STOPPED", reason(training)
    assert "RUNNING" not in statuses(training)
    nothing_left(training, trainer)


def test_training_goes_on_from_its_last_step(make_training, grace, people):
    training = make_training(num_train_epochs=100_000, save_steps=100_000)
    with running(training):
        wait_for(training, began)
        trainer = stop(training, people)
    assert training.status == "STOPPED"
    assert step_of(newest_complete(training.checkpoints_folder)) == training.step
    nothing_left(training, trainer)


def test_evaluating_ends_between_two_batches(make_training, grace, people):
    """A checkpoint of the epoch is there: the evaluation is made up for after a resume."""
    training = make_training(num_train_epochs=1, per_device_eval_batch_size=1, save_steps=100_000)
    make_dataset("image_classification", training.folder / "many", {"train": 4, "validation": 3000})
    (training.folder / "many" / "data").rename(training.dataset.folder / "many")
    training.dataset.data_folder.rename(training.dataset.folder / "few")
    (training.dataset.folder / "many").rename(training.dataset.data_folder)
    with running(training):
        wait_for(training, lambda t: t.phase == "evaluating")
        trainer = stop(training, people)
    assert training.status == "STOPPED", training.log_path.read_text()
    assert "accuracy" not in training.metrics
    assert step_of(newest_complete(training.checkpoints_folder)) == training.step == 2
    nothing_left(training, trainer)


def test_saving_is_finished_and_the_training_is_complete(make_training, grace, people, settings, tmp_path):
    """A model that is being written is worth more than a second of waiting."""
    networks = json.loads((ROOT / "tests" / "architectures.json").read_text())
    networks["image_classification"]["hidden_sizes"] = [16, 512, 1024]  # 60 MB: writing them takes a moment
    settings.ARCHITECTURES_FILE = str(tmp_path / "wide.json")
    (tmp_path / "wide.json").write_text(json.dumps(networks))
    training = make_training(num_train_epochs=1, save_steps=100_000)
    with running(training):
        trainer = held_at("saving", training)
        assert not (training.folder / "model").exists()
        stop(training, people)
        os.kill(trainer.pid, signal.SIGCONT)
    assert training.status == "COMPLETE", reason(training)
    assert "STOP_IN_PROGRESS" in statuses(training)
    assert (training.folder / "model" / "model.json").is_file()
    nothing_left(training, trainer)


@pytest.fixture
def loaders(settings):
    settings.LOADER_WORKERS = 2


def loaders_of(trainer: processes.ProcessId) -> list[psutil.Process]:
    return [process for process in processes.session_members(trainer) if process.pid != trainer.pid]


def with_loaders(training) -> bool:
    return began(training) and len(loaders_of(trainer_of(training))) > 1


def test_a_stop_leaves_no_data_loader_and_they_do_not_keep_it_from_its_checkpoint(
    make_training, grace, loaders, people
):
    training = make_training(**ENDLESS)
    with running(training):
        wait_for(training, with_loaders)
        trainer = stop(training, people)
    assert training.status == "STOPPED", reason(training)
    assert step_of(newest_complete(training.checkpoints_folder)) == training.step
    nothing_left(training, trainer)


def test_data_loaders_hear_neither_sigterm_nor_sigint(make_training, grace, loaders, people):
    training = make_training(**ENDLESS)
    with running(training):
        wait_for(training, with_loaders)
        signalled = loaders_of(trainer_of(training))
        for loader, number in itertools.product(signalled, (signal.SIGTERM, signal.SIGINT)):
            with suppress(psutil.NoSuchProcess):  # an epoch's loaders end with it
                loader.send_signal(number)
        step = training.step
        wait_for(training, lambda t: t.step > step + 8)
        trainer = stop(training, people)
    assert training.status == "STOPPED", reason(training)
    assert training.attempts == 0
    nothing_left(training, trainer)


def test_a_killed_trainer_leaves_no_data_loader(make_training, grace, loaders, people):
    training = make_training(**ENDLESS)
    with running(training):
        wait_for(training, with_loaders)
        first = trainer_of(training)
        os.kill(first.pid, signal.SIGKILL)
        wait_for(training, lambda t: t.attempts == 1 and with_loaders(t))
        assert processes.session_members(first) == []
        trainer = stop(training, people)
    assert training.status == "STOPPED", reason(training)
    nothing_left(training, trainer)


def test_a_trainer_that_takes_too_long_is_killed_with_its_data_loaders(make_training, loaders, people, settings):
    settings.STOP_GRACE_SECONDS = 1
    training = make_training(**ENDLESS)
    with running(training):
        wait_for(training, with_loaders)
        os.kill(trainer_of(training).pid, signal.SIGSTOP)
        trainer = stop(training, people)
    assert training.status == "STOPPED"
    nothing_left(training, trainer)


def test_the_maximum_time_ends_data_loaders_too(make_training, grace, loaders):
    training = make_training(**ENDLESS)
    nothing_left(training, run_past_its_time(training, with_loaders))
