"""What the serving benchmark serves: the architectures in their real size, with random weights, and a 100 KB photo."""

import base64
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from training import algorithms

ROOT = Path(__file__).resolve().parents[1]
THREADS = len(os.sched_getaffinity(0))
LABELS = [{"id": i, "name": f"class {i}"} for i in range(10)]


class Case(NamedTuple):
    """`image` is (width, height); `bytes` about the size of its JPEG; `requests` of one caller and of 8 or 16 a round.

    `ratios` are what the table promises of throughput at 8 callers: against LitServe with the eager model, and
    against FastAPI around the transformers pipeline; `ratios_half` where the engine computes in half precision.
    """

    key: str
    algorithm: str
    title: str
    image: tuple[int, int]
    hyperparameters: dict[str, Any]
    requests: tuple[int, int]
    ratios: tuple[float, float]
    ratios_half: tuple[float, float]


CASES = (
    Case("resnet28", "image_classification", "ResNet-50, 28 x 28", (640, 480), {}, (200, 400), (4.0, 8.0), (4.0, 8.0)),
    Case(
        "resnet224",
        "image_classification",
        "ResNet-50, 224 x 224",
        (640, 480),
        {"input_size": 224},
        (60, 120),
        (1.7, 2.0),
        (3.0, 2.0),
    ),
    Case(
        "segformer", "semantic_segmentation", "SegFormer-B3, 512 x 512", (640, 480), {}, (5, 16), (3.0, 4.5), (4.5, 4.5)
    ),
    Case("detr", "object_detection", "DETR-ResNet-50, 800 x 1066", (1066, 800), {}, (5, 16), (2.2, 2.2), (4.0, 2.2)),
)


def make_model(case: Case, folder: Path) -> None:
    """A model folder of the real architecture with random weights, exported as the registry does it."""
    import torch

    from training.trainer.weights import Weights

    torch.manual_seed(0)
    hyperparameters = algorithms.get(case.algorithm).defaults() | case.hyperparameters
    predict = algorithms.part(case.algorithm, "predict")
    manifest = {
        "algorithm": case.algorithm,
        "labels": LABELS,
        "preprocessing": predict.preprocessing(hyperparameters, {"median_size": list(case.image)}),
        "threshold": hyperparameters.get("threshold"),
    }
    algorithms.part(case.algorithm, "train").build({}, LABELS, Weights("scratch")).save_pretrained(folder)
    (folder / "model.json").write_text(json.dumps(manifest))
    with (folder / "export.log").open("wb") as log:
        command = [sys.executable, "-m", "models_registry.export", str(folder), ""]
        subprocess.run(command, cwd=ROOT, stdout=log, stderr=log, check=True)


def photo(size: tuple[int, int], seed: int = 0, wanted: int = 100_000) -> bytes:
    """A JPEG of about `wanted` bytes: soft shapes with fine noise, which a file compresses about as a photo."""
    random = np.random.default_rng(seed)
    shapes = Image.fromarray(random.integers(0, 256, (9, 12, 3), dtype=np.uint8)).resize(size, Image.Resampling.BICUBIC)
    noise = random.normal(0, 6, (size[1], size[0], 1))
    picture = Image.fromarray((np.asarray(shapes) + noise).clip(0, 255).astype(np.uint8))
    best = b""
    for quality in range(95, 20, -3):
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=quality)
        best = file.getvalue()
        if len(best) <= wanted:
            break
    return best


def request_body(image: bytes) -> bytes:
    """The guide's request."""
    return json.dumps({"instances": [{"data": base64.b64encode(image).decode()}]}).encode()
