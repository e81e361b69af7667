"""A real model small enough for every test: it classifies an image by its mean colour, by construction."""

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from models_registry.models import Model
from training.models import Project, Training

LABELS = ("red", "green", "blue")
MANIFEST = {
    "algorithm": "image_classification",
    "labels": [{"id": i, "name": name} for i, name in enumerate(LABELS)],
    "preprocessing": {"input_size": 8, "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]},
    "threshold": None,
}


def colour_model(project: Project, name: str = "colours", labels: tuple[str, ...] = LABELS) -> Model:
    """An ACTIVE model of `project` with the files that an engine reads. `labels` are for red, green and blue."""
    training = Training.objects.create(
        project=project,
        name=f"training of {name}",
        dataset_name="squares",
        algorithm="image_classification",
        status="COMPLETE",
    )
    model = Model.objects.create(
        project=project, name=name, training=training, algorithm="image_classification", status="ACTIVE"
    )
    write_files(model.folder, labels)
    return model


def write_files(folder: Path, labels: tuple[str, ...] = LABELS) -> None:
    """What an engine reads."""
    folder.mkdir(parents=True)
    manifest = {**MANIFEST, "labels": [{"id": i, "name": label} for i, label in enumerate(labels)]}
    (folder / "model.json").write_text(json.dumps(manifest))
    onnx.save(network(), folder / "model.onnx")
    (folder / "export_report.json").write_text(json.dumps(REPORT))


REPORT = {
    "inputs": [{"name": "pixel_values", "datatype": "FP32", "shape": [-1, 3, 8, 8]}],
    "outputs": [{"name": "logits", "datatype": "FP32", "shape": [-1, 3]}],
}


def network() -> onnx.ModelProto:
    """(N, 3, 8, 8) -> (N, 3): ten times the mean of each channel."""
    tensors = [
        helper.make_tensor_value_info("pixel_values", TensorProto.FLOAT, ["N", 3, 8, 8]),
        helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", 3]),
    ]
    nodes = [
        helper.make_node("GlobalAveragePool", ["pixel_values"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["means"]),
        helper.make_node("Mul", ["means", "ten"], ["logits"]),
    ]
    ten = numpy_helper.from_array(np.array(10, np.float32), "ten")
    graph = helper.make_graph(nodes, "colours", tensors[:1], tensors[1:], [ten])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    return model


def picture(colour: str = "red") -> str:
    """A 12 x 10 PNG of one colour, in base64."""
    file = io.BytesIO()
    Image.new("RGB", (12, 10), colour).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def request(*colours: str) -> dict[str, Any]:
    return {"instances": [{"data": picture(colour)} for colour in colours or ("red",)]}
