"""ResNet-50: model, data, loss and evaluation. `training.trainer.loop` puts them together."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional
from torch.utils.data import Dataset
from transformers import PreTrainedModel, ResNetConfig, ResNetForImageClassification

from training.algorithms.image_classification import predict
from training.algorithms.image_classification.metrics import Accumulator
from training.algorithms.images import load_pixels
from training.trainer.building import Labels, from_folder, label_fields
from training.trainer.records import Record, read_records
from training.trainer.weights import Weights

MODEL_TYPE = "resnet"
SMALLEST_BATCH = 2  # at small input sizes the last feature map is 1 x 1: batch norm needs a second image
MAX_GRAD_NORM = 1.0


def build(architecture: Mapping[str, Any], labels: Labels, weights: Weights) -> PreTrainedModel:
    """The network with one output a label. `architecture` overrides ResNet-50's configuration when from scratch."""
    if weights.folder:
        return from_folder(ResNetForImageClassification, weights.folder, labels, head=("classifier",))
    return ResNetForImageClassification(ResNetConfig(**label_fields(labels), **architecture))


def augment(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(3, S, S) -> the same, mirrored half the time and moved by up to a sixteenth of its side; the rest is 0."""
    if rng.random() < 0.5:
        pixels = pixels[:, :, ::-1]
    side = pixels.shape[1]
    reach = side // 16
    padded = np.pad(pixels, ((0, 0), (reach, reach), (reach, reach)))
    top, left = rng.integers(0, 2 * reach + 1, size=2)
    return np.ascontiguousarray(padded[:, top : top + side, left : left + side])


class Data(Dataset[Record]):
    """Rows {"pixels": (3, S, S) float32, "label": class index}. Augmented when there is a `seed`."""

    def __init__(
        self, root: Path, split: str, preprocessing: Mapping[str, Any], labels: Labels, seed: int | None = None
    ) -> None:
        self.root, self.records, self.preprocessing = root, read_records(root, split), preprocessing
        self.seed, self.epoch = seed, 0

    def __len__(self) -> int:
        return len(self.records)

    def shape(self, index: int) -> tuple[int, ...]:
        """(height, width) of a row's pixels, known without loading it. All rows may share an evaluation batch."""
        return (self.preprocessing["input_size"],) * 2

    def __getitem__(self, index: int) -> Record:
        record = self.records[index]
        pixels, _ = load_pixels(self.root / record["image"], predict.input_size, self.preprocessing)
        if self.seed is not None:  # depends on nothing but these three: a resumed training sees the same images
            pixels = augment(pixels, np.random.default_rng((self.seed, self.epoch, index)))
        return {"pixels": pixels, "label": record["label"]}


def collate(rows: Sequence[Record]) -> dict[str, Any]:
    """-> `pixel_values` (N, 3, S, S) float32, `labels` (N,) int64."""
    inputs = predict.batch([row["pixels"] for row in rows])
    labels = torch.tensor([row["label"] for row in rows], dtype=torch.int64)
    return {"pixel_values": torch.from_numpy(inputs["pixel_values"]), "labels": labels}


def loss(model: torch.nn.Module, batch: Mapping[str, Any]) -> torch.Tensor:
    """Cross entropy, averaged over the batch."""
    logits = model(pixel_values=batch["pixel_values"]).logits
    return functional.cross_entropy(logits.float(), batch["labels"])


def evaluation_loss(model: PreTrainedModel, outputs: Mapping[str, torch.Tensor], labels: Any) -> tuple[float, float]:
    """(sum of the losses, number of images)."""
    return functional.cross_entropy(outputs["logits"], labels, reduction="sum").item(), len(labels)


class Evaluator:
    """The predicted class is the one that the stage would put first."""

    def __init__(self, labels: Labels, preprocessing: Mapping[str, Any]) -> None:
        self.figures = Accumulator(len(labels))

    def update(self, outputs: Mapping[str, np.ndarray], labels: Any, records: Sequence[Record]) -> None:
        self.figures.update(predict.probabilities(outputs["logits"]).argmax(axis=1), labels.cpu().numpy())

    def compute(self) -> dict[str, float]:
        return self.figures.compute()

    def never_predicted(self, hyperparameters: Mapping[str, Any]) -> list[int]:
        """The classes, as indices, that the images show and that are predicted for none of them."""
        return self.figures.never_predicted()
