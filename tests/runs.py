"""Small datasets and runs for tests, made without ingest: a normalised data folder, a run folder, a trained model.

Shapes on a noisy ground. Classification: what shape an image shows. Segmentation: its pixels. Detection: its box.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

ROOT = Path(__file__).resolve().parent.parent
ARCHITECTURES: dict[str, dict[str, Any]] = json.loads((ROOT / "tests" / "architectures.json").read_text())
COLOURS = {"circle": (220, 60, 60), "square": (60, 180, 75)}
SIDE = 64
# Few and small steps: enough to make a model of every algorithm in seconds.
QUICK: dict[str, dict[str, Any]] = {
    "image_classification": {"input_size": 28, "learning_rate": 1e-3, "num_train_epochs": 1},
    "semantic_segmentation": {"num_train_epochs": 1.0},
    "object_detection": {"num_train_epochs": 1.0},
}


def picture(number: int) -> tuple[Image.Image, str, tuple[int, int, int, int]]:
    """-> image, name of its shape, box (x, y, width, height). The same for the same number."""
    rng = np.random.default_rng(number)
    image = Image.fromarray(rng.integers(90, 130, (SIDE, SIDE, 3), dtype=np.uint8))
    side = int(rng.integers(20, 34))
    x, y = (int(v) for v in rng.integers(2, SIDE - side - 2, size=2))
    shape = ("circle", "square")[number % 2]
    draw = ImageDraw.Draw(image)
    (draw.ellipse if shape == "circle" else draw.rectangle)((x, y, x + side - 1, y + side - 1), fill=COLOURS[shape])
    return image, shape, (x, y, side, side)


def mask_of(image: Image.Image, ids: Mapping[str, int]) -> Image.Image:
    """The shape's pixels have its id, all others 0."""
    pixels = np.asarray(image)
    mask = np.zeros(pixels.shape[:2], dtype=np.uint8)
    for shape, colour in COLOURS.items():
        mask[(pixels == colour).all(axis=2)] = ids[shape]
    return Image.fromarray(mask)


def make_dataset(algorithm: str, folder: Path, sizes: Mapping[str, int] | None = None) -> Path:
    """Write a normalised dataset (docs/contracts.md). `sizes`: images a split. -> its data folder."""
    data = folder / "data"
    sizes = sizes or {"train": 8, "validation": 4, "test": 4}
    start = 0
    for split, count in sizes.items():
        (data / split / "images").mkdir(parents=True)
        (data / split / "annotations").mkdir()
        lines = [_row(algorithm, data, split, number) for number in range(start, start + count)]
        start += count
        (data / "index").mkdir(exist_ok=True)
        (data / "index" / f"{split}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (data / "labels.json").write_text(json.dumps(labels_of(algorithm)))
    facts = {"algorithm": algorithm, "images": dict(sizes), "counts": {}, "median_size": [SIDE, SIDE]}
    (data / "dataset.json").write_text(json.dumps(facts))
    return data


def labels_of(algorithm: str) -> list[dict[str, Any]]:
    """Segmentation's and detection's ids have gaps, as real ones do."""
    return {
        "image_classification": [{"id": 0, "name": "circle"}, {"id": 1, "name": "square"}],
        "semantic_segmentation": [
            {"id": 0, "name": "ground"},
            {"id": 3, "name": "circle"},
            {"id": 7, "name": "square"},
        ],
        "object_detection": [{"id": 1, "name": "circle"}, {"id": 5, "name": "square"}],
    }[algorithm]


def _row(algorithm: str, data: Path, split: str, number: int) -> dict[str, Any]:
    image, shape, box = picture(number)
    name = f"{split}/images/{number:04}.png"
    image.save(data / name)
    label = ("circle", "square").index(shape)
    if algorithm == "image_classification":
        return {"image": name, "label": label}
    if algorithm == "semantic_segmentation":
        mask = f"{split}/annotations/{number:04}.png"
        mask_of(image, {"circle": 3, "square": 7}).save(data / mask)
        return {"image": name, "mask": mask}
    found = {"boxes": [list(box)], "labels": [label], "area": [box[2] * box[3]], "iscrowd": [0]}
    return {"image": name, "image_id": number, "width": SIDE, "height": SIDE, **found}


def make_run(algorithm: str, run: Path, data: Path, **changes: Any) -> Path:
    """Write a run folder with its config.json. `changes` replace fields; hyperparameters add to QUICK's."""
    run.mkdir(parents=True, exist_ok=True)
    hyperparameters = {**QUICK[algorithm], **changes.pop("hyperparameters", {})}
    config = {
        "algorithm": algorithm,
        "dataset": str(data),
        "hyperparameters": hyperparameters,
        "initial_weights": "scratch",
        "weights_folder": "",
        "pretrained_folder": "",
        "download_seconds": 5,
        "architecture": ARCHITECTURES[algorithm],
        "device": "cpu",
        "seed": 42,
        "resume": False,
        "deadline_seconds": 600,
    }
    (run / "config.json").write_text(json.dumps({**config, **changes}))
    return run


def start_trainer(run: Path, **environment: str) -> subprocess.Popen[bytes]:
    """Start the real trainer in a session of its own; its output goes to train.log."""
    with (run / "train.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "training.trainer", str(run)],
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def train(run: Path, seconds: float = 600, **environment: str) -> int:
    """Run the trainer to its end, or kill it after `seconds`. -> exit code"""
    process = start_trainer(run, **environment)
    try:
        return process.wait(timeout=seconds)
    finally:
        process.kill()  # of a test that was interrupted nothing is left running


def events_of(run: Path, type: str = "") -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
    return [line for line in lines if not type or line["type"] == type]


def tiny_model(algorithm: str, folder: Path) -> Path:
    """The model folder of a real, tiny training; made once for each `folder` (give a session's own)."""
    run = folder / algorithm / "run"
    if not (run / "model").is_dir():
        data = make_dataset(algorithm, folder / algorithm)
        code = train(make_run(algorithm, run, data))
        assert code == 0, (run / "train.log").read_text()[-3000:]
    return run / "model"
