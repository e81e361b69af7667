"""The ONNX export: agreement with PyTorch, and the reasons it gives when there is none to be had."""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import onnx
import pytest
from safetensors.numpy import load_file, save_file

from tests.exported import dataset_of, export, exported, trained
from tests.runs import ROOT
from training.processes import ProcessId


@pytest.mark.parametrize("algorithm", ["image_classification", "semantic_segmentation", "object_detection"])
def test_export_agrees_with_pytorch_on_the_validation_images(algorithm: str):
    report = json.loads((exported(algorithm) / "export_report.json").read_text())
    validation = (dataset_of(algorithm) / "index" / "validation.jsonl").read_text().splitlines()
    assert (report["images"], report["source"]) == (len(validation), "dataset")
    assert report["largest_relative_difference"] < 1e-4
    assert report["equal_predictions"] > 0.99
    assert report["bytes"] == (exported(algorithm) / "model.onnx").stat().st_size
    assert report["inputs"][0]["shape"][0] == -1


def test_decode_head_of_segformer_is_exported_folded():
    network = onnx.load(exported("semantic_segmentation") / "model.onnx")
    shapes = {tuple(tensor.dims) for tensor in network.graph.initializer}
    weights = load_file(trained("semantic_segmentation") / "model.safetensors")
    assert weights["decode_head.classifier.weight"].shape in shapes
    assert weights["decode_head.linear_fuse.weight"].shape not in shapes
    assert "BatchNormalization" not in {node.op_type for node in network.graph.node}


def copy_of(algorithm: str, folder: Path) -> Path:
    return Path(shutil.copytree(trained(algorithm), folder / "model"))


def test_dataset_that_is_gone_is_replaced_by_generated_images(tmp_path):
    model = copy_of("image_classification", tmp_path)
    assert export(model).returncode == 0
    report = json.loads((model / "export_report.json").read_text())
    assert (report["images"], report["source"]) == (8, "generated")


def test_diverged_training_is_refused_with_advice(tmp_path):
    model = copy_of("image_classification", tmp_path)
    weights = load_file(model / "model.safetensors")
    weights["classifier.1.weight"] = np.full_like(weights["classifier.1.weight"], np.nan)
    save_file(weights, model / "model.safetensors", {"format": "pt"})
    assert export(model).returncode == 1
    assert "lower learning rate" in json.loads((model / "export_failure.json").read_text())["text"]
    assert not (model / "export_report.json").exists()


def test_damaged_weights_are_reported_not_raised(tmp_path):
    model = copy_of("image_classification", tmp_path)
    (model / "model.safetensors").write_bytes(b"nothing")
    assert export(model).returncode == 1
    failure = json.loads((model / "export_failure.json").read_text())
    assert failure["params"]["detail"]


def test_export_ends_when_its_worker_is_killed(tmp_path):
    model = copy_of("image_classification", tmp_path)
    code = (
        "import os, subprocess, sys, time\n"
        "os.environ['EXPORT_WORKER'] = str(os.getpid())\n"
        f"child = subprocess.Popen([sys.executable, '-m', 'models_registry.export', {str(model)!r}, ''])\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    worker = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    child = ProcessId.of(int(worker.stdout.readline()))
    while "libtorch" not in Path(f"/proc/{child.pid}/maps").read_text():  # it has begun
        time.sleep(0.05)
    worker.kill()
    worker.wait()
    deadline = time.monotonic() + 60
    while child.alive():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert not (model / "export_report.json").exists()
