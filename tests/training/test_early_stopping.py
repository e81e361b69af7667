"""Early stopping: a training ends when its validation figure no longer rises, and the best epoch is the model."""

import json
import os
import signal
import time

import pytest
import torch
from safetensors.torch import load_file

from tests.runs import events_of, make_dataset, make_run, start_trainer, train
from tests.training.test_trainer_watch import EVALUATED, evaluation, relabel
from training import runner
from training.algorithms.base import Message
from training.models import Training
from training.trainer.__main__ import main
from training.trainer.early_stopping import EarlyStopping

KEY = "image_classification"


def make(folder, name="run", **changes):
    """Validation images with each other's labels: the figure is best at the start. 2 steps an epoch."""
    data = folder / "data"
    if not data.exists():
        make_dataset(KEY, folder, {"train": 4, "validation": 4, "test": 2})
        relabel("validation", lambda label: 1 - label)(data)
    steps = {"per_device_train_batch_size": 2, "logging_steps": 1, "num_train_epochs": 60}
    return make_run(KEY, folder / name, data, hyperparameters=steps, **{"early_stopping": 4, **changes})


def told(run):
    return [event for event in events_of(run, "notice") if event["code"] == "best_epoch"]


def evaluations(run):
    return {e["step"]: e["values"] for e in events_of(run, "metric") if "eval_accuracy" in e["values"]}


def weights(folder):
    return load_file(folder / "model.safetensors")


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """The run folder of a training that ended early."""
    run = make(tmp_path_factory.mktemp("early"))
    assert train(run) == 0, (run / "train.log").read_text()[-3000:]
    return run


def test_it_ends_after_so_many_epochs_without_a_better_figure_and_keeps_the_best(stopped):
    found = evaluations(stopped)
    best = max(found, key=lambda step: (found[step]["eval_accuracy"], -step))
    assert max(found) == best + 4 * 2 < 120
    [event] = told(stopped)
    assert event["level"] == "info"
    assert f"after epoch {max(found) // 2}:" in str(Message.from_json(event))
    assert event["params"]["epoch"] == str(best // 2)
    description = json.loads((stopped / "model/model.json").read_text())
    assert description["metrics"]["accuracy"] == found[best]["eval_accuracy"]
    assert same(weights(stopped / "model"), weights(stopped / "checkpoints" / f"checkpoint-{best}"))
    assert not same(weights(stopped / "model"), weights(stopped / "checkpoints" / f"checkpoint-{max(found)}"))


def test_killed_and_resumed_it_ends_at_the_same_epoch_with_the_same_model(stopped, tmp_path):
    run = make(tmp_path)
    process = start_trainer(run)
    deadline = time.monotonic() + 120
    try:
        while not ((run / "events.jsonl").exists() and events_of(run, "checkpoint")):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        os.kill(process.pid, signal.SIGKILL)
    finally:
        process.kill()
        process.wait()
    make(tmp_path, resume=True)
    assert train(run) == 0, (run / "train.log").read_text()[-3000:]
    assert same(weights(run / "model"), weights(stopped / "model"))
    assert told(run)[-1]["params"] == told(stopped)[-1]["params"]
    assert max(evaluations(run)) == max(evaluations(stopped))


def test_resumed_after_its_end_it_trains_no_further_step(stopped):
    last = max(evaluations(stopped))
    before = weights(stopped / "model")
    make(stopped.parent, resume=True)
    assert train(stopped) == 0
    assert max(evaluations(stopped)) == last
    assert same(weights(stopped / "model"), before)


def test_where_nothing_is_trained_nothing_is_said(tmp_path, in_this_process):
    key = "semantic_segmentation"
    data = make_dataset(key, tmp_path, {"train": 2, "validation": 1})
    run = make_run(key, tmp_path / "run", data, early_stopping=2, hyperparameters={"num_train_epochs": 0.0})
    assert main(run) == 0
    assert told(run) == []


def test_the_choice_comes_to_the_trainer_and_its_words_to_the_training(make_training):
    training = make_training(num_train_epochs=3)
    Training.objects.filter(pk=training.pk).update(early_stopping=1)
    assert runner.run(training.pk)
    training.refresh_from_db()
    assert training.status == "COMPLETE", training.log_path.read_text()
    [notice] = [warning for warning in training.warnings if warning["code"] == "best_epoch"]
    assert notice["level"] == "info"
    best = int(notice["params"]["epoch"]) * 4
    assert training.metrics["accuracy"] == training.points.get(name="eval_accuracy", step=best).value


def history(*values):
    return [evaluation(10 * (i + 1), value) for i, value in enumerate(values)]


def test_it_is_due_only_when_the_newest_are_all_no_better():
    rule = EarlyStopping(2, "accuracy")
    assert not rule.is_due([])
    assert not rule.is_due(history(0.5, 0.4))
    assert rule.is_due(history(0.5, 0.5, 0.4))
    assert not rule.is_due(history(0.5, 0.4, 0.6))
    assert rule.best(history(0.5, 0.6, 0.6))["step"] == 20
    assert rule.is_new_best(history(0.5, 0.6))
    assert not rule.is_new_best(history(0.6, 0.6))
    off = EarlyStopping(0, "accuracy")
    assert off.best(history(0.5)) is None
    assert not off.is_due(history(0.5, 0.4, 0.3))
    assert not rule.is_due([{"step": 1, EVALUATED: 1.0}] * 9)  # no figure, no decision
