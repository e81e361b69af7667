"""The parity check: what is found about a precision, and when it may answer."""

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from endpoints.engine.runtimes.choice import generated_inputs
from endpoints.engine.runtimes.onnx import OnnxRuntime
from models_registry import openvino_network
from models_registry.parity import Contender, checked, precisions, same_metric, same_numbers
from models_registry.speed import cpu_name
from tests.exported import exported
from tests.runs import make_dataset
from training import algorithms

ALGORITHMS = ("image_classification", "semantic_segmentation", "object_detection")


def manifest_of(algorithm: str) -> dict:
    return json.loads((exported(algorithm) / "model.json").read_text())


def perfect(data: Path):
    """Answers the validation images, one after the other, as their labels say."""
    rows = iter([json.loads(line) for line in (data / "index" / "validation.jsonl").read_text().splitlines()])

    def run(inputs):
        row = next(rows)
        return {"logits": np.float32([[5 * (row["label"] == 0), 5 * (row["label"] == 1)]])}

    return run


def mistaken(run, at):
    """The same, but the two classes change places in the images whose numbers are `at`."""
    count = iter(range(1000))

    def other(inputs):
        logits = run(inputs)["logits"]
        return {"logits": logits[:, ::-1] if next(count) in at else logits}

    return other


@pytest.fixture
def data(tmp_path):
    return make_dataset("image_classification", tmp_path, {"train": 2, "validation": 10})


def compare(contender, fp32, data):
    manifest = manifest_of("image_classification")
    metric = partial(same_metric, manifest=manifest, dataset=data, fp32=fp32)
    return checked(Contender("openvino", "cpu", "bf16", lambda: contender), metric)


def test_equal_metric_is_allowed_and_told(data):
    found = compare(perfect(data), perfect(data), data)
    assert 0 <= found.pop("ms") < 1000
    assert found == {
        "runtime": "openvino",
        "device": "cpu",
        "precision": "bf16",
        "reason": None,
        "metric": "accuracy",
        "fp32": 1.0,
        "value": 1.0,
        "difference": 0.0,
        "images": 10,
        "allowed": True,
    }


@pytest.mark.parametrize(("worse", "better"), [({3}, ()), ((), {3})])
def test_metric_that_moves_either_way_is_refused(data, worse, better):
    right = partial(perfect, data)
    found = compare(mistaken(right(), worse), mistaken(right(), better), data)
    assert (found["allowed"], abs(found["difference"])) == (False, pytest.approx(0.1))


def test_without_enough_validation_images_nothing_smaller_than_fp32_is_allowed(tmp_path):
    few = make_dataset("image_classification", tmp_path, {"train": 8, "validation": 7})
    assert compare(perfect(few), perfect(few), few)["allowed"] is False
    gone = compare(None, None, None)
    assert gone["allowed"] is False
    assert "deleted" in gone["reason"]["text"]


def test_model_that_is_always_wrong_shows_nothing(data):
    wrong = partial(mistaken, at=range(10))
    right = partial(perfect, data)
    found = compare(wrong(right()), wrong(right()), data)
    assert (found["allowed"], "nothing to compare" in found["reason"]["text"]) == (False, True)


def test_numbers_that_overflow_are_refused(data):
    found = compare(lambda inputs: {"logits": np.float32([[np.inf, 0]])}, perfect(data), data)
    assert (found["allowed"], "not finite" in found["reason"]["text"]) == (False, True)


def test_runtime_that_fails_is_refused_and_the_export_goes_on(data):
    def failing(inputs):
        raise RuntimeError("no such kernel")

    found = compare(failing, perfect(data), data)
    assert (found["allowed"], found["reason"]["params"]["detail"]) == (False, "RuntimeError: no such kernel")


def test_fp32_that_computes_something_else_is_refused():
    def scaled(factor):
        return lambda inputs: {"logits": inputs["pixel_values"] * np.float32(factor)}

    def found(factor):
        compare = partial(same_numbers, fp32=scaled(1), samples=[{"pixel_values": np.ones((1, 2), np.float32)}])
        return checked(Contender("openvino", "cpu", "fp32", lambda: scaled(factor)), compare)

    assert found(1.00001)["allowed"] is True
    assert (found(1.1)["allowed"], found(1.1)["reason"]["params"]) == (False, {"share": "10.0%"})


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_real_networks_are_compared_by_their_own_metric(algorithm, tmp_path):
    folder, manifest = exported(algorithm), manifest_of(algorithm)
    data = make_dataset(algorithm, tmp_path, {"train": 2, "validation": 8})
    found = precisions(folder, manifest, data, OnnxRuntime(folder, 1).run, [generated_inputs(folder)])
    assert found["fp32"]["allowed"] is True
    bf16 = found["bf16"]
    if not openvino_network.has_bf16():
        assert "does not compute in bf16" in bf16["reason"]["text"]
    elif bf16["reason"]:  # a model trained for seconds may find nothing
        assert "nothing to compare" in bf16["reason"]["text"]
    else:
        assert bf16["metric"] == algorithms.get(algorithm).best_metric
        assert bf16["images"] == 8
        assert bf16["allowed"] == (abs(bf16["value"] - bf16["fp32"]) <= 0.001)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_export_reports_what_may_answer(algorithm):
    found = json.loads((exported(algorithm) / "export_report.json").read_text())["precisions"]
    assert (found["fp32"]["runtime"], found["fp32"]["allowed"]) == ("openvino", True)
    assert 0 < found["fp32"]["largest_relative_difference"] < 1e-4
    assert found["bf16"]["allowed"] is False  # four validation images
    assert found["bf16"]["reason"]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_export_reports_how_long_each_runtime_took_and_on_what(algorithm):
    speed = json.loads((exported(algorithm) / "export_report.json").read_text())["speed"]
    assert speed["cpu"] == cpu_name()
    assert set(speed["ms"]) == {"onnxruntime fp32", "openvino fp32"}
    assert all(0 < ms < 60_000 for ms in speed["ms"].values())
