"""Trainings with real trainers of tiny networks, on datasets made for the test."""

import json
import signal
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager

import pytest
from django import db

from tests.runs import ROOT, make_dataset
from training import processes, runner
from training.models import Dataset, Training


@pytest.fixture
def tiny(settings, home, monkeypatch):
    """Trainers of this test have tiny networks, one thread and little time to save a checkpoint."""
    settings.ARCHITECTURES_FILE = str(ROOT / "tests" / "architectures.json")
    settings.STOP_GRACE_SECONDS = 20
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.fixture
def in_this_process():
    """The trainer runs in the test's own process: one thread, and its SIGTERM handler as before afterwards."""
    import torch  # seconds: only for the tests that ask

    torch.set_num_threads(1)
    handler = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, handler)


@pytest.fixture
def dataset(transactional_db, home, project) -> Dataset:
    row = Dataset.objects.create(project=project, name="shapes", algorithm="image_classification", status="READY")
    make_dataset("image_classification", row.folder)
    return row


@pytest.fixture
def make_training(dataset, tiny) -> Callable[..., Training]:
    """make_training(num_train_epochs=1000, save_steps=5): a queued one, of 4 steps an epoch."""

    def make(**hyperparameters) -> Training:
        training = Training(project=dataset.project, name=f"t{Training.objects.count()}", dataset=dataset)
        training.dataset_name, training.algorithm = dataset.name, dataset.algorithm
        quick = {"num_train_epochs": 1, "per_device_train_batch_size": 2, "learning_rate": 1e-3, "logging_steps": 1}
        training.hyperparameters = {**training.spec.defaults(), **quick, **hyperparameters}
        training.initial_weights = "scratch"
        training.save()
        return training

    return make


@contextmanager
def running(training: Training):
    """A runner in a thread. At the end it must have come to its own end."""

    def work() -> None:
        try:
            runner.run(training.pk)
        finally:
            db.connections.close_all()

    thread = threading.Thread(target=work)
    thread.start()
    yield thread
    thread.join(120)
    assert not thread.is_alive(), "the runner did not end"
    training.refresh_from_db()


def wait_for(training: Training, condition: Callable[[Training], object], seconds: float = 120) -> None:
    """Until `condition(training)`, looked at afresh each 0.1 s."""
    deadline = time.monotonic() + seconds
    while not condition(training):
        if time.monotonic() > deadline:
            log = training.log_path.read_text()[-3000:] if training.log_path.exists() else "no log"
            raise AssertionError(f"{training.status} {training.status_reason} step {training.step}\n{log}")
        time.sleep(0.1)
        training.refresh_from_db()


ENDLESS = {"num_train_epochs": 100_000, "save_steps": 2}


def began(training: Training) -> bool:
    """It has trained some steps, and has a checkpoint when it is ENDLESS."""
    return training.status == "RUNNING" and training.step > 2


def trainer_of(training: Training) -> processes.ProcessId:
    training.refresh_from_db()
    assert training.pid
    return processes.ProcessId(training.pid, training.pid_started)


def statuses(training: Training) -> list[str]:
    """Oldest first; the small letters are what happened without a change of status."""
    return [event.to_status for event in training.events().order_by("id")]


def reason(training: Training) -> str:
    return json.dumps(training.status_reason)
