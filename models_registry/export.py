"""`python -m models_registry.export <model folder> <dataset folder or ''>`: model.onnx and its parity report.

A process of its own, because it needs torch: the worker that starts it must not. Reads config.json,
model.safetensors and model.json; writes model.onnx and export_report.json (docs/contracts.md). Exit code 0,
or 1 with the reason as a Message in export_failure.json. With EXPORT_WORKER, a pid, it ends with that process.
"""

import json
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from PIL import Image

from models_registry import parity
from models_registry.network import OUTPUTS, Network, fold, load_network
from models_registry.small_maps import fold_small_maps
from models_registry.speed import Timed, cpu_name
from training import algorithms, disk
from training.algorithms.base import Message, gettext_noop
from training.algorithms.images import open_rgb

MOST_IMAGES = 64
LEAST_IMAGES = 8  # looked at even when the time is up
PARITY_SECONDS = 120.0
OPSET = 18
# fp32 runtimes agree to about 1e-6. An export further off than this is wrong, not imprecise.
LARGEST_RELATIVE_DIFFERENCE = 1e-2
DATATYPES = {"tensor(float)": "FP32", "tensor(int64)": "INT64"}

Arrays = dict[str, np.ndarray]


class ExportError(Exception):
    def __init__(self, message: Message) -> None:
        super().__init__(str(message))
        self.message = message


def main(folder: Path, dataset: Path | None) -> int:
    try:
        report = export(folder, dataset)
    except Exception as error:
        with suppress(OSError):  # the log is on the same disk
            traceback.print_exc()
        (folder / "model.onnx").unlink(missing_ok=True)  # half-written; and the reason needs room
        detail = {"detail": disk.reason(error) or f"{type(error).__name__}: {error}".splitlines()[0]}
        unexpected = Message(gettext_noop("The model could not be exported to ONNX: %(detail)s"), detail)
        message = error.message if isinstance(error, ExportError) else unexpected
        (folder / "export_failure.json").write_text(json.dumps(message.as_json()))
        return 1
    (folder / "export_report.json").write_text(json.dumps(report, indent=2))
    return 0


def export(folder: Path, dataset: Path | None) -> dict[str, Any]:
    """Write model.onnx into `folder` and compare it with PyTorch. -> the report. Raises ExportError and torch's own."""
    began = time.monotonic()
    manifest = json.loads((folder / "model.json").read_text())
    target = folder / "model.onnx"
    write_onnx(network_to_serve(folder, manifest), manifest, target)
    session = onnxruntime.InferenceSession(str(target), providers=["CPUExecutionProvider"])
    fp32 = Timed(runner(session))
    precisions = parity.precisions(folder, manifest, dataset, fp32, samples(manifest, dataset))
    report = {
        "opset": OPSET,
        "bytes": target.stat().st_size,
        "inputs": [_tensor(node) for node in session.get_inputs()],
        "outputs": [_tensor(node) for node in session.get_outputs()],
        **compare(load_network(folder, manifest["algorithm"]), session, manifest, dataset),
        "precisions": precisions,
        "speed": speed(fp32, precisions),
    }
    return {**report, "seconds": round(time.monotonic() - began, 1)}


def speed(fp32: Timed, precisions: Mapping[str, Any]) -> dict[str, Any]:
    """What "speed" in the report holds (docs/contracts.md)."""
    found = {f"{row['runtime']} {row['precision']}": row["ms"] for row in precisions.values() if "ms" in row}
    return {"cpu": cpu_name(), "ms": {"onnxruntime fp32": fp32.ms, **found}}


def network_to_serve(folder: Path, manifest: Mapping[str, Any]) -> Network:
    """The network with what a runtime cannot simplify by itself multiplied out. It answers as `load_network`'s does."""
    network = fold(load_network(folder, manifest["algorithm"]))
    if manifest["algorithm"] == "image_classification":
        network = fold_small_maps(network, manifest["preprocessing"]["input_size"])
    return network


def write_onnx(network: Network, manifest: Mapping[str, Any], target: Path) -> None:
    """Export with a free batch size, and free height and width where the algorithm's images differ in them."""
    predict = algorithms.part(manifest["algorithm"], "predict")
    images = [next(generated_images(1, size)) for size in ((96, 64), (80, 112))]
    arrays = [predict.preprocess(image, manifest["preprocessing"]) for image in images]
    inputs = predict.batch(arrays)
    tensors = tuple(torch.from_numpy(array) for array in inputs.values())
    with torch.inference_mode():  # before the minutes of an export
        require_finite(tensor.numpy() for tensor in network(*tensors))
    free = [0] if arrays[0].shape == arrays[1].shape else [0, -2, -1]
    axes = {name: {axis % array.ndim: torch.export.Dim.DYNAMIC for axis in free} for name, array in inputs.items()}
    torch.onnx.export(
        network,
        tensors,
        str(target),
        input_names=list(inputs),
        output_names=list(network.output_names),
        dynamic_shapes=axes,
        opset_version=OPSET,
        dynamo=True,
        external_data=False,
    )


def compare(network: Network, session: Any, manifest: Mapping[str, Any], dataset: Path | None) -> dict[str, Any]:
    """Both answer the same images, one by one. Raises ExportError when they disagree or give no finite numbers."""
    predict = algorithms.part(manifest["algorithm"], "predict")
    source, images = sample_images(dataset)
    names = OUTPUTS[manifest["algorithm"]]
    worst = {name: {"absolute": 0.0, "relative": 0.0} for name in names}
    equal: list[float] = []
    deadline = time.monotonic() + PARITY_SECONDS
    for image in images:
        inputs = predict.batch([predict.preprocess(image, manifest["preprocessing"])])
        with torch.inference_mode():
            tensors = network(*(torch.from_numpy(array) for array in inputs.values()))
        expected = {name: tensor.numpy() for name, tensor in zip(names, tensors, strict=True)}
        given = dict(zip(names, session.run(list(names), inputs), strict=True))
        _note_differences(worst, expected, given)
        equal.append(equal_share(manifest, image.size, expected, given))
        if time.monotonic() > deadline and len(equal) >= LEAST_IMAGES:
            break
    return {
        "images": len(equal),
        "source": source,
        "largest_difference": max(found["absolute"] for found in worst.values()),
        "largest_relative_difference": max(found["relative"] for found in worst.values()),
        "equal_predictions": float(np.mean(equal)),
        "by_output": worst,
    }


def runner(session: Any) -> Callable[[Mapping[str, np.ndarray]], Arrays]:
    """An ONNX Runtime session as a function: inputs by name -> outputs by name."""
    names = [output.name for output in session.get_outputs()]
    return lambda inputs: dict(zip(names, session.run(names, dict(inputs)), strict=True))


def samples(manifest: Mapping[str, Any], dataset: Path | None) -> list[Arrays]:
    """The network's inputs for the first eight of the images that are compared, one by one."""
    predict = algorithms.part(manifest["algorithm"], "predict")
    images = islice(sample_images(dataset)[1], LEAST_IMAGES)
    return [predict.batch([predict.preprocess(image, manifest["preprocessing"])]) for image in images]


def require_finite(outputs: Iterable[np.ndarray]) -> None:
    """Raises ExportError when a network answered with NaN or infinity."""
    if not all(np.isfinite(output).all() for output in outputs):
        raise ExportError(
            Message(
                gettext_noop(
                    "The trained network answers with numbers that are not finite: its training diverged. "
                    "Train again with a lower learning rate."
                )
            )
        )


def _note_differences(worst: dict[str, dict[str, float]], expected: Arrays, given: Arrays) -> None:
    for name, found in worst.items():
        require_finite((expected[name], given[name]))
        absolute = float(np.abs(expected[name] - given[name]).max())
        relative = absolute / max(float(np.abs(expected[name]).max()), 1e-6)
        if relative > LARGEST_RELATIVE_DIFFERENCE:
            raise ExportError(
                Message(
                    gettext_noop(
                        "The exported network does not answer like the trained one: %(output)s is %(share)s off."
                    ),
                    {"output": name, "share": f"{relative:.1%}"},
                )
            )
        found["absolute"] = max(found["absolute"], absolute)
        found["relative"] = max(found["relative"], relative)


def equal_share(manifest: Mapping[str, Any], size: tuple[int, int], expected: Arrays, given: Arrays) -> float:
    """How much of one image's prediction is the same, 0 to 1.

    classification: the top class, 0 or 1; segmentation: the share of pixels; detection: the share of queries
    with the same class and a box that lies within a thousandth of the image.
    """
    if manifest["algorithm"] == "semantic_segmentation":
        predict = algorithms.part(manifest["algorithm"], "predict")
        maps = [predict.postprocess(outputs, [size], manifest, {})[0] for outputs in (expected, given)]
        return float((maps[0] == maps[1]).mean())
    same = expected["logits"].argmax(axis=-1) == given["logits"].argmax(axis=-1)
    if "pred_boxes" in expected:
        same &= np.abs(expected["pred_boxes"] - given["pred_boxes"]).max(axis=-1) < 1e-3
    return float(same.mean())


def sample_images(dataset: Path | None) -> tuple[str, Iterator[Image.Image]]:
    """-> ("dataset", its images), or ("generated", others) where there is none."""
    paths = sample_paths(dataset) if dataset else []
    return ("dataset", map(open_rgb, paths)) if paths else ("generated", generated_images(LEAST_IMAGES, (120, 90)))


def sample_paths(dataset: Path) -> list[Path]:
    """Up to 64 images of the validation split, evenly spread; of another split when there is none."""
    for split in ("validation", "test", "train"):
        index = dataset / "index" / f"{split}.jsonl"
        if not index.exists():
            continue
        rows = [json.loads(line)["image"] for line in index.read_text(encoding="utf-8").splitlines()]
        if rows:
            chosen = np.linspace(0, len(rows) - 1, min(len(rows), MOST_IMAGES)).astype(int)
            return [dataset / rows[i] for i in chosen]
    return []


def generated_images(count: int, size: tuple[int, int]) -> Iterator[Image.Image]:
    """RGB images of (width, height) `size`: smooth colours with some noise, always the same ones."""
    random = np.random.default_rng(0)
    width, height = size
    y, x = np.mgrid[0:height, 0:width]
    for _ in range(count):
        phases = random.uniform(0, 6.28, 3)
        colours = np.stack([np.sin(x / 9 + phase) + np.cos(y / 7 - phase) for phase in phases], axis=-1)
        noise = random.normal(0, 0.2, colours.shape)
        yield Image.fromarray(((colours + noise + 2.5) / 5 * 255).clip(0, 255).astype(np.uint8))


def _tensor(node: Any) -> dict[str, Any]:
    """A tensor as the Open Inference Protocol describes it; -1 is a free axis."""
    shape = [size if isinstance(size, int) else -1 for size in node.shape]
    return {"name": node.name, "datatype": DATATYPES[node.type], "shape": shape}


def leave_with(worker: int) -> None:
    """End this process when the worker that started it has been killed: nobody would take its result."""
    while os.getppid() == worker:
        time.sleep(0.5)
    os._exit(1)


if __name__ == "__main__":
    if "EXPORT_WORKER" in os.environ:
        threading.Thread(target=leave_with, args=[int(os.environ["EXPORT_WORKER"])], daemon=True).start()
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2]) if sys.argv[2] else None))
