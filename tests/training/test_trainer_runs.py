"""Runs of the trainer from start to end, in this process: epochs, checkpoints, splits, batches."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file

from tests.runs import ARCHITECTURES, events_of, make_dataset, make_run
from training import algorithms
from training.algorithms.images import open_rgb
from training.trainer import checkpoints, loop
from training.trainer.__main__ import main
from training.trainer.config import Config
from training.trainer.events import Events
from training.trainer.records import read_labels
from training.trainer.stop import Stopped, StopSignal
from training.trainer.weights import Weights

pytestmark = pytest.mark.usefixtures("in_this_process")


def test_no_epochs_train_nothing_but_evaluate_and_save(tmp_path):
    key = "object_detection"
    data = make_dataset(key, tmp_path)
    run = make_run(key, tmp_path / "run", data, hyperparameters={"num_train_epochs": 0.0})
    assert main(run) == 0
    assert events_of(run, "checkpoint") == []
    assert events_of(run, "result")[-1]["metrics"]["eval_loss"] > 0
    train = algorithms.part(key, "train")
    torch.manual_seed(42)
    saved = train.build({}, read_labels(data), Weights("model", run / "model"))
    assert saved.config.num_labels == 2


@pytest.mark.parametrize(("epochs", "steps"), [(0.5, 2), (1.25, 5), (2.0, 8)])
def test_fractions_of_an_epoch_work(tmp_path, epochs, steps):
    key = "object_detection"
    data = make_dataset(key, tmp_path, {"train": 8, "validation": 2})
    run = make_run(
        key, tmp_path / "run", data, hyperparameters={"num_train_epochs": epochs, "per_device_train_batch_size": 2}
    )
    assert main(run) == 0
    last = events_of(run, "progress")[-1]
    assert (last["step"], last["total_steps"], last["epoch"]) == (steps, steps, epochs)
    evaluated = [e["step"] for e in events_of(run, "metric") if "eval_loss" in e["values"]]
    assert evaluated == ([4, steps] if epochs > 1 else [steps])
    assert events_of(run, "result")[-1]["test_metrics"] is None


def test_resuming_a_training_that_had_done_its_last_step_only_finishes_it(tmp_path):
    """The machine went down between the last step and the saved model."""
    data = make_dataset("object_detection", tmp_path)
    half = {"num_train_epochs": 0.5, "per_device_train_batch_size": 2}
    run = make_run("object_detection", tmp_path / "run", data, hyperparameters=half)
    assert main(run) == 0
    first = events_of(run, "result")[-1]
    shutil.rmtree(run / "model")
    make_run("object_detection", run, data, hyperparameters=half, resume=True)
    assert main(run) == 0
    assert events_of(run, "result")[-1]["metrics"] == first["metrics"]
    assert len(events_of(run, "checkpoint")) == 1


def test_detection_from_weights_with_the_hubs_names_resumes_with_all_of_them(tmp_path):
    """facebook/detr-resnet-50 names its parts as older releases of transformers did."""
    key = "object_detection"
    data = make_dataset(key, tmp_path)
    source = algorithms.part(key, "train").build(ARCHITECTURES[key], read_labels(data), Weights("scratch"))
    site = tmp_path / "site" / "detr-resnet-50"
    source.save_pretrained(site)
    assert any("backbone.conv_encoder" in name for name in load_file(site / "model.safetensors"))
    settings = {
        "hyperparameters": {"num_train_epochs": 2.0, "save_steps": 1, "logging_steps": 1},
        "initial_weights": "pretrained",
        "pretrained_folder": str(tmp_path / "site"),
    }
    run = make_run(key, tmp_path / "run", data, **settings)
    assert main(run) == 0
    for step in (3, 4):
        shutil.rmtree(run / "checkpoints" / f"checkpoint-{step}")
    before = events_of(run, "metric")
    make_run(key, run, data, resume=True, **settings)
    assert main(run) == 0
    again = events_of(run, "metric")[len(before) :]
    assert [e["values"] for e in again if e["step"] > 2] == [e["values"] for e in before if e["step"] > 2]
    frozen = "model.backbone.conv_encoder.model.embedder.embedder.convolution.weight"
    files = (load_file(folder / "model.safetensors") for folder in (site, run / "model"))
    assert torch.equal(*(file[frozen] for file in files))


def test_a_damaged_checkpoint_is_passed_over(tmp_path):
    data = make_dataset("image_classification", tmp_path)
    steps = {"num_train_epochs": 6, "per_device_train_batch_size": 8, "save_steps": 2, "logging_steps": 1}
    run = make_run("image_classification", tmp_path / "run", data, hyperparameters=steps)
    assert main(run) == 0
    folder = run / "checkpoints"
    assert [p.name for p in checkpoints.all_checkpoints(folder)] == ["checkpoint-2", "checkpoint-4", "checkpoint-6"]
    weights = folder / "checkpoint-6" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)  # of the right size, and yet not what was written
    (folder / "checkpoint-4" / "optimizer.pt").unlink()
    assert checkpoints.newest_complete(folder) == folder / "checkpoint-2"
    count = len(events_of(run))
    make_run("image_classification", run, data, hyperparameters=steps, resume=True)
    assert main(run) == 0
    later = [e for e in events_of(run)[count:] if e["type"] == "metric" and "loss" in e["values"]]
    assert min(e["step"] for e in later) == 3
    assert checkpoints.is_complete(folder / "checkpoint-6")


class StopsAt(StopSignal):
    """A SIGTERM that arrives when the trainer looks for the n-th time: while it evaluates."""

    def __init__(self, look):
        super().__init__()
        self.looks_left = look

    def check(self):
        self.looks_left -= 1
        self.requested = self.looks_left <= 0
        super().check()


@pytest.mark.parametrize(("look", "step"), [(3, 2), (5, 4), (9, 6)])
def test_a_stop_during_an_evaluation_keeps_the_step_and_repeats_the_evaluation(tmp_path, look, step):
    """Looks: one before training, two in each evaluation, two in the test."""
    key = "image_classification"
    data = make_dataset(key, tmp_path, {"train": 8, "validation": 4, "test": 4})
    steps = {"num_train_epochs": 3, "per_device_train_batch_size": 4, "per_device_eval_batch_size": 2}
    whole = make_run(key, tmp_path / "whole", data, hyperparameters=steps)
    assert main(whole) == 0
    run = make_run(key, tmp_path / "run", data, hyperparameters=steps)
    with pytest.raises(Stopped):
        loop.run(Config.read(run), Events(run), StopsAt(look))
    assert checkpoints.step_of(checkpoints.newest_complete(run / "checkpoints")) == step
    make_run(key, run, data, hyperparameters=steps, resume=True)
    assert main(run) == 0
    first, second = (events_of(folder, "result")[-1] for folder in (whole, run))
    assert (first["metrics"], first["test_metrics"]) == (second["metrics"], second["test_metrics"])
    evaluated = {e["step"] for e in events_of(run, "metric") if "eval_loss" in e["values"]}
    assert evaluated == {2, 4, 6}


def test_starting_over_forgets_the_earlier_attempt(tmp_path):
    data = make_dataset("image_classification", tmp_path)
    run = make_run("image_classification", tmp_path / "run", data, hyperparameters={"num_train_epochs": 4})
    assert main(run) == 0
    make_run("image_classification", run, data, hyperparameters={"num_train_epochs": 2})
    assert main(run) == 0
    assert [p.name for p in checkpoints.all_checkpoints(run / "checkpoints")] == ["checkpoint-2"]
    assert len(list((run / "tensorboard").iterdir())) == 1


def test_the_automatic_batch_size_is_chosen_and_recorded(tmp_path):
    data = make_dataset("semantic_segmentation", tmp_path, {"train": 3, "validation": 1})
    run = make_run("semantic_segmentation", tmp_path / "run", data, hyperparameters={"per_device_train_batch_size": 0})
    assert main(run) == 0
    chosen = events_of(run, "setting")[-1]["values"]["per_device_train_batch_size"]
    model = json.loads((run / "model" / "model.json").read_text())
    assert 1 <= chosen <= 3
    assert model["settings"]["per_device_train_batch_size"] == chosen
    assert model["hyperparameters"]["per_device_train_batch_size"] == 0


def test_a_last_batch_of_one_tiny_image_does_not_stop_classification(tmp_path):
    """Batch norm over one 1 x 1 feature map cannot be computed: such a rest is left out of its epoch."""
    data = make_dataset("image_classification", tmp_path, {"train": 9, "validation": 2})
    run = make_run(
        "image_classification",
        tmp_path / "run",
        data,
        hyperparameters={"per_device_train_batch_size": 4, "input_size": 4},
    )
    assert main(run) == 0
    assert events_of(run, "progress")[-1]["step"] == 2


def test_detection_without_validation_uses_the_test_split(tmp_path):
    data = make_dataset("object_detection", tmp_path, {"train": 4, "test": 3})
    run = make_run("object_detection", tmp_path / "run", data)
    assert main(run) == 0
    result = events_of(run, "result")[-1]
    assert result["metrics"].pop("eval_loss") == result["test_metrics"].pop("test_loss")
    assert result["metrics"] == result["test_metrics"]


def test_detection_with_only_a_train_split_trains_without_figures(tmp_path):
    data = make_dataset("object_detection", tmp_path, {"train": 4})
    run = make_run("object_detection", tmp_path / "run", data)
    assert main(run) == 0
    result = events_of(run, "result")[-1]
    assert (result["metrics"], result["test_metrics"]) == ({}, None)
    assert [e["code"] for e in events_of(run, "warning")] == ["no_validation"]


def test_images_without_any_box_and_crowds_can_be_trained_on(tmp_path):
    data = make_dataset("object_detection", tmp_path)
    for split in ("train", "validation"):
        path = data / "index" / f"{split}.jsonl"
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        for row in rows[: len(rows) // 2]:
            row.update(boxes=[], labels=[], area=[], iscrowd=[])
        rows[-1]["iscrowd"] = [1]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    run = make_run("object_detection", tmp_path / "run", data, hyperparameters={"per_device_train_batch_size": 2})
    assert main(run) == 0


def test_a_mask_that_is_all_ignored_does_not_break_the_loss(tmp_path):
    data = make_dataset("semantic_segmentation", tmp_path, {"train": 2, "validation": 2})
    mask = open_rgb(data / "train/annotations/0000.png").convert("L")
    mask.paste(255, (0, 0, *mask.size))
    mask.save(data / "train/annotations/0000.png")
    run = make_run(
        "semantic_segmentation",
        tmp_path / "run",
        data,
        hyperparameters={"per_device_train_batch_size": 1, "logging_steps": 1},
    )
    assert main(run) == 0
    assert 0.0 in [e["values"].get("loss") for e in events_of(run, "metric")]
