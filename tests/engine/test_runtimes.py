"""What runs the network: which runtimes are tried, that they answer alike, and that sizes cost no compilation."""

import subprocess
import sys

import numpy as np
import pytest

from endpoints.engine.runtimes.choice import choose, fastest, generated_inputs
from endpoints.engine.runtimes.onnx import OnnxRuntime
from endpoints.engine.runtimes.openvino import OpenVinoRuntime
from models_registry import openvino_network
from tests.exported import exported
from tests.runs import ROOT
from training import algorithms

ALGORITHMS = ("image_classification", "semantic_segmentation", "object_detection")


def assert_alike(answer, expected, share=1e-4):
    assert answer.keys() == expected.keys()
    for name, values in expected.items():
        assert answer[name].shape == values.shape
        assert np.abs(answer[name] - values).max() <= share * np.abs(values).max()


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_fp32_runtimes_are_measured_and_answer_alike(algorithm):
    choice = choose(exported(algorithm), "cpu", 1)
    tried = {(row["runtime"], row["precision"]) for row in choice.candidates}
    assert tried >= {("onnxruntime", "fp32"), ("openvino", "fp32")}
    quickest = min(choice.candidates, key=lambda row: row["ms"])
    assert (choice.name, choice.precision) == (quickest["runtime"], quickest["precision"])
    inputs = generated_inputs(exported(algorithm))
    expected = OnnxRuntime(exported(algorithm), 1).run(inputs)
    assert_alike(OpenVinoRuntime(exported(algorithm), 1, "fp32").run(inputs), expected)
    if choice.precision == "fp32":
        assert_alike(choice.run(inputs), expected)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_images_that_come_together_are_answered_as_if_they_came_alone(algorithm):
    inputs = generated_inputs(exported(algorithm))
    together = {name: np.concatenate([array, array[:, ..., ::-1]]) for name, array in inputs.items()}
    runtime = OpenVinoRuntime(exported(algorithm), 1, "fp32")
    answer = runtime.run(together)
    for row in range(2):
        alone = runtime.run({name: np.ascontiguousarray(array[row : row + 1]) for name, array in together.items()})
        assert_alike({name: values[row : row + 1] for name, values in answer.items()}, alone)


def test_twenty_sizes_are_answered_by_one_compiled_network(monkeypatch):
    compiled = []
    compile_model = type(openvino_network.core()).compile_model

    def counted(*args, **kwargs):
        compiled.append(args)
        return compile_model(*args, **kwargs)

    monkeypatch.setattr(type(openvino_network.core()), "compile_model", counted)
    folder = exported("object_detection")
    runtime, reference = OpenVinoRuntime(folder, 1, "fp32"), OnnxRuntime(folder, 1)
    predict = algorithms.part("object_detection", "predict")
    random = np.random.default_rng(0)
    for _ in range(20):
        height, width = random.integers(64, 200, 2)
        inputs = predict.batch([random.normal(size=(3, height, width)).astype(np.float32)])
        assert_alike(runtime.run(inputs), reference.run(inputs))
    assert len(compiled) == 1


class Numbers:
    """A runtime that answers with one number, after some work or none."""

    device, batch_pixels = "cpu", 1

    def __init__(self, name, value, precision="fp32", work=1):
        self.name, self.precision, self.value, self.work = name, precision, value, work

    def run(self, inputs):
        for _ in range(self.work):
            np.linalg.inv(np.eye(200))
        return {"logits": np.float32([[self.value]])}


def chosen(*runtimes):
    candidates = [(each.name, each.precision, lambda each=each: each) for each in runtimes]
    best, measured = fastest(candidates, {"pixel_values": np.zeros((1, 3, 8, 8), np.float32)})
    return best.name, [row["runtime"] for row in measured]


def test_the_fastest_is_kept():
    assert chosen(Numbers("slow", 1, work=50), Numbers("fast", 1)) == ("fast", ["slow", "fast"])


def test_runtime_that_answers_something_else_in_fp32_is_passed_over():
    assert chosen(Numbers("right", 1, work=20), Numbers("wrong", 1.1)) == ("right", ["right"])


def test_smaller_precision_may_differ_but_must_be_finite():
    assert chosen(Numbers("right", 1, work=50), Numbers("half", 1.1, "bf16")) == ("half", ["right", "half"])
    assert chosen(Numbers("right", 1, work=50), Numbers("half", np.nan, "bf16")) == ("right", ["right"])


def test_runtime_that_cannot_load_the_model_is_passed_over(tmp_path):
    def broken():
        return OpenVinoRuntime(tmp_path, 1, "fp32")  # no model there

    runtime = Numbers("right", 1)
    inputs = {"pixel_values": np.zeros((1, 3, 8, 8), np.float32)}
    best, measured = fastest([("openvino", "fp32", broken), ("right", "fp32", lambda: runtime)], inputs)
    assert (best, [row["runtime"] for row in measured]) == (runtime, ["right"])
    with pytest.raises(RuntimeError, match=r"model\.onnx"):
        fastest([("openvino", "fp32", broken)], inputs)


def test_no_telemetry_is_loaded_with_openvino():
    folder = exported("image_classification")
    code = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from endpoints.engine.runtimes import choose\n"
        f"choose(Path({str(folder)!r}), 'cpu', 1)\n"
        "assert 'openvino' in sys.modules\n"
        "print([n for n in ('openvino_telemetry', 'openvino.tools.ovc', 'urllib.request') if sys.modules.get(n)])\n"
        "print([link for link in map(os.path.realpath, Path('/proc/self/fd').iterdir()) if 'socket:' in link])\n"
    )
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert result.stdout == "[]\n[]\n", result.stderr
