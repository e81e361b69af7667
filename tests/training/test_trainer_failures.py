"""What a failed run says, and whose figures a good one reports. In this process."""

import json
import math

import numpy as np
import pytest
import torch

from tests.exported import trained
from tests.runs import ARCHITECTURES, events_of, make_dataset, make_run
from training import algorithms
from training.algorithms.base import Message
from training.algorithms.images import open_rgb
from training.trainer.__main__ import main
from training.trainer.evaluation import batches, evaluate
from training.trainer.failures import explain
from training.trainer.records import read_labels
from training.trainer.stop import StopSignal
from training.trainer.weights import Weights

pytestmark = pytest.mark.usefixtures("in_this_process")
ALGORITHMS = list(algorithms.PACKAGES)


@pytest.fixture(scope="module")
def model_folder():
    return trained("image_classification")


def failure(run):
    assert json.loads((run / "outcome.json").read_text()) == {"outcome": "failed", "exit_code": 1}
    assert not (run / "model").exists()
    event = events_of(run, "failure")[-1]
    return event["code"], str(Message.from_json(event))


def test_a_loss_that_explodes_is_a_failure_in_plain_words(tmp_path):
    data = make_dataset("image_classification", tmp_path)
    steps = {"learning_rate": 1e38, "num_train_epochs": 20, "per_device_train_batch_size": 2}
    run = make_run("image_classification", tmp_path / "run", data, hyperparameters=steps)
    assert main(run) == 1
    code, text = failure(run)
    assert code == "loss_not_finite"
    assert "learning_rate" in text


@pytest.mark.parametrize(
    ("error", "code", "word"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."), "out_of_memory", "smaller batch"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), "out_of_memory", "smaller batch"),
        (RuntimeError("No executable batch size found, reached zero."), "out_of_memory", "smaller batch"),
        (MemoryError(), "out_of_memory", "smaller batch"),
        (OSError(28, "No space left on device"), "disk_full", "disk is full"),
        (KeyError("boxes"), "crash", "KeyError: 'boxes'"),
    ],
)
def test_what_went_wrong_is_said_in_plain_words(error, code, word):
    found, message = explain(error)
    assert found == code
    assert word in str(message)


def test_every_wrong_hyperparameter_is_refused_by_name(tmp_path):
    data = make_dataset("image_classification", tmp_path)
    wrong = {"input_size": 3, "learning_rate": math.nan, "save_steps": "10", "momentum": 0.9}
    run = make_run("image_classification", tmp_path / "run", data, hyperparameters=wrong)
    assert main(run) == 1
    code, reason = failure(run)
    assert code == "bad_config"
    assert "input_size is 3, outside its range [4 ~ ∞)." in reason
    assert "learning_rate must be a number in [0.0 ~ ∞)." in reason
    assert "save_steps must be a whole number in [1 ~ ∞)." in reason
    assert "momentum is not a hyperparameter" in reason


def test_an_unreadable_image_fails_with_its_name_in_the_reason(tmp_path):
    data = make_dataset("image_classification", tmp_path)
    (data / "train/images/0003.png").write_bytes(b"no image")
    run = make_run("image_classification", tmp_path / "run", data)
    assert main(run) == 1
    code, text = failure(run)
    assert code == "crash"
    assert "0003.png" in text


def test_a_gpu_that_is_not_there_is_said_so(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    data = make_dataset("image_classification", tmp_path)
    run = make_run("image_classification", tmp_path / "run", data, device="cuda")
    assert main(run) == 1
    assert failure(run)[0] == "no_cuda"


@pytest.mark.parametrize("key", ALGORITHMS)
def test_figures_do_not_depend_on_the_evaluation_batch_size(tmp_path, key):
    data_folder = make_dataset(key, tmp_path, {"train": 1, "validation": 5})
    train, predict = algorithms.part(key, "train"), algorithms.part(key, "predict")
    labels = read_labels(data_folder)
    preprocessing = predict.preprocessing({"input_size": 28}, {"median_size": [64, 64]})
    model = train.build(ARCHITECTURES[key], labels, Weights("scratch"))
    data = train.Data(data_folder, "validation", preprocessing, labels)
    one, three = (
        evaluate(
            model,
            data,
            train=train,
            evaluator=train.Evaluator(labels, preprocessing),
            batch_size=size,
            workers=0,
            stop=StopSignal(),
        )
        for size in (1, 3)
    )
    assert one == pytest.approx(three, rel=1e-4)


def test_only_images_of_one_shape_share_an_evaluation_batch():
    class Data(list):
        def shape(self, index):
            return self[index]

    data = Data([(2, 2), (2, 3), (2, 2), (2, 2), (2, 3)])
    assert batches(data, 2) == [[0, 2], [3], [1, 4]]


def test_the_stage_would_reach_exactly_the_accuracy_that_the_training_reports(model_folder):
    key = "image_classification"
    train, predict = algorithms.part(key, "train"), algorithms.part(key, "predict")
    description = json.loads((model_folder / "model.json").read_text())
    model = train.build({}, description["labels"], Weights("model", model_folder)).eval()
    run = model_folder.parent
    dataset = run.parent / "data"
    rows = [json.loads(line) for line in (dataset / "index/test.jsonl").read_text().splitlines()]
    right = 0
    for row in rows:
        array = predict.preprocess(open_rgb(dataset / row["image"]), description["preprocessing"])
        with torch.inference_mode():
            logits = model(torch.from_numpy(predict.batch([array])["pixel_values"])).logits.numpy()
        best = predict.postprocess({"logits": logits}, [(1, 1)], description, {})[0][0]["label"]
        right += best == description["labels"][row["label"]]["name"]
    assert right / len(rows) == description["test_metrics"]["accuracy"]


def test_a_model_of_the_project_gives_its_weights_and_a_new_label_set_a_new_head(tmp_path, model_folder):
    key = "image_classification"
    data = make_dataset(key, tmp_path)
    labels = [*read_labels(data), {"id": 2, "name": "triangle"}]
    (data / "labels.json").write_text(json.dumps(labels))
    nothing = {"learning_rate": 0.0, "num_train_epochs": 1}
    run = make_run(
        key,
        tmp_path / "run",
        data,
        hyperparameters=nothing,
        initial_weights="0a1b",
        weights_folder=str(model_folder),
        architecture={},
    )
    assert main(run) == 0
    assert events_of(run, "setting")[0]["values"]["initial_weights"] == "model"
    train = algorithms.part(key, "train")
    old = train.build({}, labels[:2], Weights("model", model_folder)).state_dict()
    new = train.build({}, labels, Weights("model", run / "model")).state_dict()
    name = "resnet.encoder.stages.1.layers.0.layer.0.convolution.weight"
    assert torch.equal(old[name], new[name])
    assert new["classifier.1.weight"].shape[0] == 3
    assert np.isfinite(new["classifier.1.weight"].numpy()).all()
