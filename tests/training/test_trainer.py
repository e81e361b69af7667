"""The trainer as the runner sees it: a run folder in, an exit code and files out."""

import json
import os
import signal
import time
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.exported import trained
from tests.runs import events_of, make_dataset, make_run, start_trainer, train
from training import algorithms
from training.processes import ProcessId, kill_session, session_members
from training.trainer import checkpoints

ALGORITHMS = list(algorithms.PACKAGES)


@pytest.fixture(scope="module")
def models():
    """algorithm -> its tiny model, trained by the real trainer in a process of its own."""
    return {key: trained(key) for key in ALGORITHMS}


def wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.02)


def losses(run: Path) -> dict[int, float]:
    return {e["step"]: e["values"]["loss"] for e in events_of(run, "metric") if "loss" in e["values"]}


@pytest.mark.parametrize("key", ALGORITHMS)
def test_the_model_folder_has_all_that_serving_needs(models, key):
    model = json.loads((models[key] / "model.json").read_text())
    assert {p.name for p in models[key].iterdir()} == {"config.json", "model.safetensors", "model.json"}
    assert model["algorithm"] == key
    assert model["preprocessing"]["mean"] == pytest.approx([0.485, 0.456, 0.406])
    assert model["hyperparameters"] == {**algorithms.get(key).defaults(), **model["hyperparameters"]}
    assert model["threshold"] == (0.5 if key == "object_detection" else None)
    assert model["settings"]["initial_weights"] == "scratch"
    assert set(model["versions"]) == {"torch", "transformers", "console"}


@pytest.mark.parametrize("key", ALGORITHMS)
def test_events_tell_the_story_in_order(models, key):
    run = models[key].parent
    phases = [e["phase"] for e in events_of(run, "phase")]
    assert [p for i, p in enumerate(phases) if p not in phases[:i]] == [
        "preparing",
        "training",
        "evaluating",
        "testing",
        "saving",
    ]
    last = events_of(run, "progress")[-1]
    assert last["step"] == last["total_steps"] > 0
    assert last["epoch"] == 1.0
    result = events_of(run, "result")[-1]
    assert set(result["metrics"]) >= {"eval_loss"}
    assert set(result["test_metrics"]) >= {"test_loss"}
    assert events_of(run)[-1]["type"] == "result"
    assert json.loads((run / "outcome.json").read_text()) == {"outcome": "complete", "exit_code": 0}


@pytest.mark.parametrize("key", ALGORITHMS)
def test_every_metric_of_the_guide_is_an_event_a_scalar_and_in_the_log(models, key):
    run = models[key].parent
    # Objects of 20 to 34 pixels are small or medium to COCO: it has no figure for large ones.
    names = {m.name for m in algorithms.get(key).metrics if not m.per_class and "area=large" not in m.name}
    board = EventAccumulator(str(run / "tensorboard"))
    board.Reload()
    scalars = set(board.Tags()["scalars"])
    event = [e["values"] for e in events_of(run, "metric") if "eval_loss" in e["values"]][-1]
    log = (run / "train.log").read_text()
    assert {"train/loss", "train/learning_rate", "eval/loss", "test/loss"} <= scalars
    for name in names - {n for n in names if "area=medium" in n and f"eval_{n}" not in event}:
        assert {f"eval/{name}", f"test/{name}"} <= scalars
        assert f"'eval_{name}': " in log
        assert event[f"eval_{name}"] == events_of(run, "result")[-1]["metrics"][name]


def test_segmentation_has_one_series_a_class(models):
    run = models["semantic_segmentation"].parent
    metrics = events_of(run, "result")[-1]["metrics"]
    for label in ("ground", "circle", "square"):
        assert 0 <= metrics[f"per_category_iou/{label}"] <= metrics[f"per_category_accuracy/{label}"] <= 1


def test_class_names_may_be_in_any_script_whatever_the_locale(tmp_path):
    key = "semantic_segmentation"
    data = make_dataset(key, tmp_path, {"train": 1, "validation": 2})
    labels = [{"id": 0, "name": "바닥"}, {"id": 3, "name": "cercle rempli/é"}, {"id": 7, "name": "□"}]
    (data / "labels.json").write_text(json.dumps(labels), encoding="utf-8")
    run = make_run(key, tmp_path / "run", data, hyperparameters={"num_train_epochs": 0.0})
    assert train(run, LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0") == 0
    metrics = events_of(run, "result")[-1]["metrics"]
    assert {f"per_category_iou/{label['name']}" for label in labels} <= set(metrics)
    assert "바닥" in (run / "train.log").read_text(encoding="utf-8")
    assert json.loads((run / "model" / "model.json").read_text(encoding="utf-8"))["labels"] == labels
    board = EventAccumulator(str(run / "tensorboard"))
    board.Reload()
    assert "eval/per_category_iou/바닥" in board.Tags()["scalars"]


def test_a_stopped_training_resumes_to_the_same_result(tmp_path):
    """SIGTERM in the middle of an epoch: the step is finished and saved; every later loss is as if uninterrupted."""
    key = "image_classification"
    data = make_dataset(key, tmp_path, {"train": 14, "validation": 6, "test": 6})
    steps = {"num_train_epochs": 15, "per_device_train_batch_size": 4, "logging_steps": 1}
    whole = make_run(key, tmp_path / "whole", data, hyperparameters=steps)
    assert train(whole) == 0

    cut = make_run(key, tmp_path / "cut", data, hyperparameters=steps)
    process = start_trainer(cut)
    wait_for(lambda: (cut / "events.jsonl").exists() and any(e["step"] > 9 for e in events_of(cut, "metric")))
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 3
    assert json.loads((cut / "outcome.json").read_text())["outcome"] == "stopped"
    stopped_at = events_of(cut, "checkpoint")[-1]["step"]
    assert 9 < stopped_at < 60
    assert not (cut / "model").exists()

    assert train(make_run(key, cut, data, hyperparameters=steps, resume=True)) == 0
    assert min(step for step in losses(cut) if step > stopped_at) == stopped_at + 1  # nothing was done twice
    assert losses(cut) == losses(whole)
    first, second = (events_of(run, "result")[-1] for run in (whole, cut))
    assert (first["metrics"], first["test_metrics"]) == (second["metrics"], second["test_metrics"])


def test_a_stop_while_preparing_ends_at_once_without_a_checkpoint(tmp_path):
    data = make_dataset("image_classification", tmp_path)
    run = make_run("image_classification", tmp_path / "run", data)
    process = start_trainer(run)
    wait_for((run / "events.jsonl").exists)
    time.sleep(0.3)  # it is importing torch now
    process.send_signal(signal.SIGTERM)
    began = time.monotonic()
    assert process.wait(timeout=30) == 3
    assert time.monotonic() - began < 10
    assert checkpoints.all_checkpoints(run / "checkpoints") == []
    assert json.loads((run / "outcome.json").read_text())["exit_code"] == 3


def test_ctrl_c_in_a_terminal_stops_the_trainer_with_a_checkpoint_and_its_data_loaders(tmp_path):
    """It reaches the whole group."""
    data = make_dataset("image_classification", tmp_path)
    steps = {"num_train_epochs": 100_000, "logging_steps": 1, "per_device_train_batch_size": 2}
    run = make_run("image_classification", tmp_path / "run", data, hyperparameters=steps, loader_workers=2)
    process = start_trainer(run)
    trainer = ProcessId.of(process.pid)
    wait_for(lambda: (run / "events.jsonl").exists() and events_of(run, "metric"))
    wait_for(lambda: len(session_members(trainer)) > 2)
    os.killpg(process.pid, signal.SIGINT)
    try:
        assert process.wait(timeout=30) == 3
        assert session_members(trainer) == []
        assert checkpoints.newest_complete(run / "checkpoints")
    finally:
        kill_session(trainer)


def test_a_killed_training_goes_on_from_its_newest_checkpoint(tmp_path):
    """SIGKILL: nothing was tidied up, and still the next attempt starts from the last whole checkpoint."""
    key = "object_detection"
    data = make_dataset(key, tmp_path)
    steps = {"num_train_epochs": 12.0, "per_device_train_batch_size": 4, "save_steps": 5, "logging_steps": 1}
    run = make_run(key, tmp_path / "run", data, hyperparameters=steps)
    process = start_trainer(run)
    wait_for(lambda: (run / "events.jsonl").exists() and len(events_of(run, "checkpoint")) >= 2)
    process.kill()
    process.wait()
    assert not (run / "outcome.json").exists()
    newest = checkpoints.step_of(checkpoints.newest_complete(run / "checkpoints"))
    with (run / "events.jsonl").open("a") as file:
        file.write('{"type": "prog')  # a line that the kill cut short
    before = len((run / "events.jsonl").read_text().splitlines())
    assert train(make_run(key, run, data, hyperparameters=steps, resume=True)) == 0
    lines = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()[before:]]
    assert min(e["step"] for e in lines if e["type"] == "metric" and "loss" in e["values"]) == newest + 1
    kept = [p.name for p in checkpoints.all_checkpoints(run / "checkpoints")]
    assert kept == ["checkpoint-15", "checkpoint-20", "checkpoint-24"]
