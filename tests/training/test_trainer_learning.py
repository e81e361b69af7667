"""Each algorithm learns: on 8 images it gets its loss down by 80 % and recognises what it was shown. Minutes long."""

import shutil

import pytest

from tests.runs import ARCHITECTURES, events_of, make_dataset, make_run, train

pytestmark = pytest.mark.slow

REPEATS = 50  # times that an epoch shows each image: evaluating after every 8 images would take most of the time
AP50 = "AP-IoU=0.50-area=all-maxDets=100"


def learn(key, folder, architecture=None, **hyperparameters):
    """Train on 8 images and evaluate on the same. -> (first loss, last loss, metrics)"""
    data = make_dataset(key, folder, {"train": 8})
    index = data / "index" / "train.jsonl"
    shutil.copy(index, data / "index" / "validation.jsonl")
    index.write_text(index.read_text() * REPEATS)
    run = make_run(
        key,
        folder / "run",
        data,
        hyperparameters={"logging_steps": 10, **hyperparameters},
        architecture={**ARCHITECTURES[key], **(architecture or {})},
    )
    assert train(run, seconds=3600) == 0, (run / "train.log").read_text()[-3000:]
    losses = [e["values"]["loss"] for e in events_of(run, "metric") if "loss" in e["values"]]
    metrics = events_of(run, "result")[-1]["metrics"]
    print(f"{key}: loss {losses[0]:.3f} -> {losses[-1]:.3f}, {metrics}")
    return losses[0], losses[-1], metrics


def test_classification_learns(tmp_path):
    first, last, metrics = learn("image_classification", tmp_path, learning_rate=2e-3, num_train_epochs=4)
    assert last < 0.2 * first
    assert metrics["accuracy"] > 0.9


def test_segmentation_learns(tmp_path):
    first, last, metrics = learn("semantic_segmentation", tmp_path, learning_rate=2e-3, num_train_epochs=1.5)
    assert last < 0.2 * first
    assert metrics["mean_iou"] > 0.6


def test_detection_learns(tmp_path):
    """A DETR from scratch is slow to learn where things are: a deeper network than the others', 2,000 steps."""
    backbone = {**ARCHITECTURES["object_detection"]["backbone_config"], "embedding_size": 32}
    deeper = {
        "backbone_config": {**backbone, "hidden_sizes": [32, 64, 96, 128]},
        "d_model": 128,
        "encoder_ffn_dim": 256,
        "decoder_ffn_dim": 256,
        "encoder_layers": 2,
        "decoder_layers": 4,
        "num_queries": 10,
    }
    steps = {"learning_rate": 5e-4, "per_device_train_batch_size": 8, "num_train_epochs": 40.0}
    first, last, metrics = learn("object_detection", tmp_path, deeper, **steps)
    assert last < 0.2 * first
    assert metrics[AP50] > 0.6
