"""What runs the network: which runtimes are tried, that they answer alike, and that sizes cost no compilation."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

from endpoints.engine.runtimes.choice import CLOSE, COMPANY, choose, fastest, generated_inputs, image_ms, is_taken
from endpoints.engine.runtimes.onnx import OnnxRuntime
from endpoints.engine.runtimes.openvino import OpenVinoRuntime
from endpoints.engine.runtimes.torch import TorchRuntime
from models_registry import openvino_network
from models_registry.speed import cpu_name
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
def test_runtimes_are_measured_and_answer_alike(algorithm):
    choice = choose(exported(algorithm), "cpu", 1)
    rows = {(row["runtime"], row["precision"]) for row in choice.candidates}
    assert ("openvino", "fp32") in rows
    times = {(row["runtime"], row["precision"]): row["ms"] for row in choice.candidates}
    assert times[choice.name, choice.precision] <= CLOSE * min(times.values())
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

    device, precision, batch_pixels = "cpu", "fp32", 1

    def __init__(self, name, value=1.0, work=1):
        self.name, self.value, self.work = name, value, work

    def run(self, inputs):
        for _ in range(self.work):
            np.linalg.inv(np.eye(200))
        return {"logits": np.float32([[self.value]])}


INPUTS = {"pixel_values": np.zeros((1, 3, 8, 8), np.float32)}


def chosen(*runtimes, seconds=60.0):
    candidates = [(each.name, each.precision, lambda each=each: each) for each in runtimes]
    best, measured = fastest(candidates, INPUTS, seconds)
    return best.name, [row["runtime"] for row in measured]


def test_the_fastest_is_kept():
    assert chosen(Numbers("slow", work=50), Numbers("fast")) == ("fast", ["slow", "fast"])
    assert chosen(Numbers("fast"), Numbers("slow", work=50)) == ("fast", ["fast", "slow"])


def test_of_two_that_are_about_as_fast_the_later_and_more_modest_one_is_taken():
    assert is_taken(20.9, [30.0, 20.0])
    assert not is_taken(22.5, [30.0, 20.0])
    assert not is_taken(22.5, [20.0, 21.0]), "close to the fastest, not to the one before"


def test_when_time_is_up_what_has_been_tried_must_do():
    assert chosen(Numbers("slow", work=50), Numbers("fast"), seconds=0.0) == ("slow", ["slow"])


def test_runtime_that_answers_nonsense_is_passed_over():
    assert chosen(Numbers("overflows", np.nan), Numbers("right", work=20)) == ("right", ["right"])


def test_runtime_that_cannot_load_the_model_is_passed_over(tmp_path):
    def broken():
        return OpenVinoRuntime(tmp_path, 1, "fp32")  # no model there

    runtime = Numbers("right")
    best, measured = fastest([("openvino", "fp32", broken), ("right", "fp32", lambda: runtime)], INPUTS)
    assert (best, [row["runtime"] for row in measured]) == (runtime, ["right"])
    with pytest.raises(RuntimeError, match=r"model\.onnx"):
        fastest([("openvino", "fp32", broken)], INPUTS)


def with_precisions(folder, **allowed):
    """A copy of the exported model whose report allows these precisions."""
    shutil.copytree(exported("image_classification"), folder)
    report = json.loads((folder / "export_report.json").read_text())
    report["precisions"] = {name: {"allowed": yes, "metric": "accuracy"} for name, yes in allowed.items()}
    (folder / "export_report.json").write_text(json.dumps(report))
    return folder


def tried(folder, precision="auto"):
    return {(row["runtime"], row["precision"]) for row in choose(folder, "cpu", 1, precision).candidates}


def test_what_the_export_has_not_allowed_is_not_tried(tmp_path):
    plain = {("onnxruntime", "fp32")}
    assert tried(with_precisions(tmp_path / "none")) == plain
    assert tried(with_precisions(tmp_path / "refused", fp32=False, bf16=False)) == plain


@pytest.mark.skipif(not openvino_network.has_bf16(), reason="this CPU does not compute in bf16")
def test_bf16_is_tried_where_it_is_allowed_unless_fp32_is_asked_for(tmp_path):
    folder = with_precisions(tmp_path / "model", fp32=True, bf16=True)
    assert ("openvino", "bf16") in tried(folder)
    assert ("openvino", "bf16") not in tried(folder, "fp32")


def test_choice_of_a_smaller_precision_says_what_was_found_about_it(tmp_path):
    folder = with_precisions(tmp_path / "model", fp32=True, bf16=True)
    choice = choose(folder, "cpu", 1)
    assert (choice.parity is not None) == (choice.precision == "bf16")
    assert choose(folder, "cpu", 1, "fp32").parity is None


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_pytorch_answers_in_half_precision_too(algorithm, precision):
    inputs = generated_inputs(exported(algorithm))
    answer = TorchRuntime(exported(algorithm), precision, "cpu").run(inputs)
    assert {values.dtype for values in answer.values()} == {np.dtype(np.float32)}
    expected = OnnxRuntime(exported(algorithm), 1).run(inputs)
    assert_alike(answer, expected, 1e-4 if precision == "fp32" else 0.1)


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


def test_a_named_runtime_is_taken_unmeasured_and_one_that_is_not_allowed_is_not():
    folder = exported("image_classification")
    for name in ("openvino", "onnxruntime"):
        choice = choose(folder, "cpu", 1, "fp32", name)
        assert (choice.name, choice.precision, len(choice.candidates)) == (name, "fp32", 1)
    elsewhere = choose(folder, "cpu", 1, "bf16", "no such runtime")
    assert len(elsewhere.candidates) > 1  # as without a name


def measured_before(folder, cpu, **ms):
    """A copy of the exported model whose report says how long each runtime took, OpenVINO's first."""
    with_precisions(folder, fp32=True)
    report = json.loads((folder / "export_report.json").read_text())
    report["speed"] = {"cpu": cpu, "ms": {f"{name} fp32": value for name, value in ms.items()}}
    (folder / "export_report.json").write_text(json.dumps(report))
    return choose(folder, "cpu", 1)


@pytest.mark.parametrize(
    ("openvino", "onnxruntime", "taken"),
    [(600.0, 900.0, "openvino"), (900.0, 600.0, "onnxruntime"), (600.0, 630.0, "onnxruntime")],
)
def test_a_slow_network_is_not_measured_again_on_the_kind_of_cpu_that_made_it(tmp_path, openvino, onnxruntime, taken):
    choice = measured_before(tmp_path / "model", cpu_name(), openvino=openvino, onnxruntime=onnxruntime)
    assert (choice.name, len(choice.candidates)) == (taken, 1)


def test_a_slow_network_that_was_made_elsewhere_and_a_quick_one_are_measured(tmp_path):
    elsewhere = measured_before(tmp_path / "slow", "another CPU", openvino=600.0, onnxruntime=900.0)
    assert len(elsewhere.candidates) == 2
    quick = measured_before(tmp_path / "quick", cpu_name(), openvino=60.0, onnxruntime=80.0)
    assert len(quick.candidates) == 2


@pytest.mark.parametrize(
    ("openvino", "onnxruntime", "tried"),
    [(60.0, 100.0, {"openvino"}), (100.0, 60.0, {"onnxruntime"}), (2.0, 4.0, {"openvino", "onnxruntime"})],
)
def test_a_runtime_that_was_much_slower_is_not_tried_unless_the_times_are_too_short_to_tell(
    tmp_path, openvino, onnxruntime, tried
):
    choice = measured_before(tmp_path / "model", cpu_name(), openvino=openvino, onnxruntime=onnxruntime)
    assert {row["runtime"] for row in choice.candidates} == tried


@pytest.mark.parametrize(("openvino", "onnxruntime"), [(900.0, 600.0), (90.0, 40.0)])
def test_when_the_runtime_that_was_quickest_fails_another_one_serves(tmp_path, openvino, onnxruntime):
    folder = tmp_path / "model"
    measured_before(folder, cpu_name(), openvino=openvino, onnxruntime=onnxruntime)
    script = "import sys; sys.modules['onnxruntime'] = None\n"  # cannot be imported
    script += "import pathlib; from endpoints.engine.runtimes import choose\n"
    script += f"print(choose(pathlib.Path({str(folder)!r}), 'cpu', 1).name)"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "openvino"


def test_when_nothing_else_may_answer_a_slow_network_fails_with_its_own_reason(tmp_path):
    folder = tmp_path / "model"
    measured_before(folder, cpu_name(), openvino=900.0, onnxruntime=600.0)
    (folder / "model.onnx").unlink()
    with pytest.raises(Exception, match=r"model\.onnx"):
        choose(folder, "cpu", 1, "fp32", "onnxruntime")


def test_small_images_are_measured_alone_and_in_company():
    sizes = []

    class Watched(Numbers):
        def run(self, inputs):
            sizes.append(len(inputs["pixel_values"]))
            return super().run(inputs)

    image_ms(Watched("small"), {"pixel_values": np.zeros((1, 3, 28, 28), np.float32)})
    assert set(sizes) == {1, COMPANY}
    sizes.clear()
    image_ms(Watched("large"), {"pixel_values": np.zeros((1, 3, 512, 512), np.float32)})
    assert set(sizes) == {1}
