"""SegFormer-B3: model, data, loss and evaluation. `training.trainer.loop` puts them together."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.nn import functional
from torch.utils.data import Dataset
from transformers import PreTrainedModel, SegformerConfig, SegformerForSemanticSegmentation

from training.algorithms.images import load_pixels, open_mask
from training.algorithms.semantic_segmentation import predict
from training.algorithms.semantic_segmentation.head import TrainedHead
from training.algorithms.semantic_segmentation.metrics import Accumulator
from training.trainer.building import Labels, from_folder, label_fields
from training.trainer.records import Record, read_records
from training.trainer.weights import Weights

MODEL_TYPE = "segformer"
SMALLEST_BATCH = 1
MAX_GRAD_NORM = 1.0
IGNORED = -100  # as a class index: 255 may be a class's id
# MiT-B3's encoder and the decode head that SegFormer-B3 has on it.
B3 = {
    "depths": [3, 4, 18, 3],
    "hidden_sizes": [64, 128, 320, 512],
    "num_attention_heads": [1, 2, 5, 8],
    "sr_ratios": [8, 4, 2, 1],
    "mlp_ratios": [4, 4, 4, 4],
    "decoder_hidden_size": 768,
    "drop_path_rate": 0.1,
}


def build(architecture: Mapping[str, Any], labels: Labels, weights: Weights) -> PreTrainedModel:
    """The network with one output plane a label. `architecture` overrides B3's configuration when from scratch."""
    fields: dict[str, Any] = {"semantic_loss_ignore_index": IGNORED}
    if weights.folder:
        if weights.used == "pretrained":  # the encoder's own file says 256, SegFormer-B3's head is 768 wide
            fields["decoder_hidden_size"] = B3["decoder_hidden_size"]
        head = ("decode_head",) if weights.used == "pretrained" else ("decode_head.classifier",)
        model = from_folder(SegformerForSemanticSegmentation, weights.folder, labels, head, **fields)
    else:
        config = SegformerConfig(**{**B3, **fields, **label_fields(labels), **architecture})
        model = SegformerForSemanticSegmentation(config)
    model.decode_head = TrainedHead(model.decode_head)
    return model


def augment(pixels: np.ndarray, mask: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Image (3, H, W) and mask (H, W), both mirrored half the time."""
    if rng.random() < 0.5:
        return np.ascontiguousarray(pixels[:, :, ::-1]), np.ascontiguousarray(mask[:, ::-1])
    return pixels, mask


def class_indices(mask: np.ndarray, ids: Sequence[int]) -> np.ndarray:
    """Mask of class ids -> int64 class indices; an id that is none of `ids` (so 255, mostly) -> IGNORED."""
    lookup = np.full(max(int(mask.max()), *ids) + 1, IGNORED, dtype=np.int64)
    lookup[list(ids)] = np.arange(len(ids))
    return lookup[mask]


class Data(Dataset[Record]):
    """Rows {"pixels": (3, 512, 512) float32, "mask": (512, 512) int64}. Augmented when there is a `seed`.

    The mask is brought to 512 x 512 without mixing ids: that is the size of the answer, and what is measured.
    """

    def __init__(
        self, root: Path, split: str, preprocessing: Mapping[str, Any], labels: Labels, seed: int | None = None
    ) -> None:
        self.root, self.records, self.preprocessing = root, read_records(root, split), preprocessing
        self.ids = [label["id"] for label in labels]
        self.seed, self.epoch = seed, 0

    def __len__(self) -> int:
        return len(self.records)

    def shape(self, index: int) -> tuple[int, ...]:
        """Rows of equal shape may share an evaluation batch: here all of them."""
        return ()

    def __getitem__(self, index: int) -> Record:
        record = self.records[index]
        pixels, _ = load_pixels(self.root / record["image"], predict.input_size, self.preprocessing)
        size = (self.preprocessing["width"], self.preprocessing["height"])
        ids = Image.fromarray(open_mask(self.root / record["mask"])).resize(size, Image.Resampling.NEAREST)
        mask = class_indices(np.asarray(ids), self.ids)
        if self.seed is not None:  # depends on nothing but these three: a resumed training sees the same images
            pixels, mask = augment(pixels, mask, np.random.default_rng((self.seed, self.epoch, index)))
        return {"pixels": pixels, "mask": mask}


def collate(rows: Sequence[Record]) -> dict[str, Any]:
    """-> `pixel_values` (N, 3, 512, 512) float32, `labels` (N, 512, 512) int64."""
    inputs = predict.batch([row["pixels"] for row in rows])
    labels = torch.from_numpy(np.stack([row["mask"] for row in rows]))
    return {"pixel_values": torch.from_numpy(inputs["pixel_values"]), "labels": labels}


def _pixel_loss(logits: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(sum of the cross entropy over the pixels that count, their number); logits (N, C, h, w) are upsampled first."""
    full = functional.interpolate(logits.float(), size=labels.shape[-2:], mode="bilinear", align_corners=False)
    total = functional.cross_entropy(full, labels, ignore_index=IGNORED, reduction="sum")
    return total, (labels != IGNORED).sum()


def loss(model: torch.nn.Module, batch: Mapping[str, Any]) -> torch.Tensor:
    """Cross entropy, averaged over the pixels that count; 0 where an image has none."""
    total, count = _pixel_loss(model(pixel_values=batch["pixel_values"]).logits, batch["labels"])
    return total / count.clamp(min=1)


def evaluation_loss(model: PreTrainedModel, outputs: Mapping[str, torch.Tensor], labels: Any) -> tuple[float, float]:
    """(sum of the losses, number of pixels). Image by image: a batch of upsampled logits would fill the memory."""
    pairs = [_pixel_loss(logits[None], mask[None]) for logits, mask in zip(outputs["logits"], labels, strict=True)]
    return sum(total.item() for total, _ in pairs), sum(count.item() for _, count in pairs)


class Evaluator:
    """Compares what the stage would answer, a 512 x 512 map, with the mask at that size."""

    def __init__(self, labels: Labels, preprocessing: Mapping[str, Any]) -> None:
        self.figures = Accumulator([label["name"] for label in labels])
        self.size = (preprocessing["width"], preprocessing["height"])

    def update(self, outputs: Mapping[str, np.ndarray], labels: Any, records: Sequence[Record]) -> None:
        for logits, mask in zip(outputs["logits"], labels.cpu().numpy(), strict=True):
            self.figures.update(predict.class_map(logits, self.size), mask)

    def compute(self) -> dict[str, float]:
        return self.figures.compute()

    def never_predicted(self, hyperparameters: Mapping[str, Any]) -> list[int]:
        """The classes, as indices, that the images show and that are predicted for none of them."""
        return self.figures.never_predicted()
