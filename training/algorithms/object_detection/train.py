"""DETR with a ResNet-50 backbone: model, data, loss and evaluation. `training.trainer.loop` puts them together."""

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import Dataset
from transformers import DetrConfig, DetrForObjectDetection, PreTrainedModel
from transformers.models.detr.modeling_detr import DetrFrozenBatchNorm2d

from training.algorithms.images import load_pixels
from training.algorithms.object_detection import predict
from training.algorithms.object_detection.metrics import Accumulator
from training.trainer.building import Labels, from_folder, label_fields
from training.trainer.records import Record, read_records
from training.trainer.weights import Weights

MODEL_TYPE = "detr"
SMALLEST_BATCH = 1
MAX_GRAD_NORM = 0.1  # DETR's own
HEAD = ("class_labels_classifier",)
FROZEN_WHEN_PRETRAINED = ("embedder.", "encoder.stages.0.")
RESNET50 = {"model_type": "resnet", "out_features": ["stage4"]}


def build(architecture: Mapping[str, Any], labels: Labels, weights: Weights) -> PreTrainedModel:
    """The network with one output a label and "no object". `architecture` overrides its configuration from scratch.

    Not with transformers' `auxiliary_loss`: it puts the decoder's norm between its layers, which is another network
    than the published one. `loss` looks at every layer all the same.
    """
    if weights.folder:
        model = from_folder(DetrForObjectDetection, weights.folder, labels, HEAD)
    else:
        fields = {"backbone_config": RESNET50, "use_timm_backbone": False}
        model = DetrForObjectDetection(DetrConfig(**{**fields, **label_fields(labels), **architecture}))
    backbone = model.model.backbone.model
    if weights.used == "scratch":
        _train_batch_norm(backbone)
    unfreeze(backbone, all_of_it=weights.used == "scratch")
    return model  # type: ignore[no-any-return]


def unfreeze(backbone: nn.Module, all_of_it: bool) -> None:
    """Train what DETR trains: all of the ResNet but its stem and first stage; from scratch those too.

    transformers means to do this, but looks for timm's names of the stages and so freezes the whole backbone.
    """
    for name, parameter in backbone.named_parameters():
        parameter.requires_grad_(all_of_it or not name.startswith(FROZEN_WHEN_PRETRAINED))


def _train_batch_norm(module: nn.Module) -> None:
    """Replace frozen batch norm by one that learns.

    DETR freezes it because the pretrained statistics are better than those of its small batches. Random weights
    have no statistics worth keeping: frozen, activations of a 50-layer ResNet drift and it does not learn. The
    names in the file are the same, so that the trained model loads as an ordinary, frozen DETR.
    """
    for name, child in module.named_children():
        if isinstance(child, DetrFrozenBatchNorm2d):
            trained = nn.BatchNorm2d(child.weight.shape[0])
            trained.load_state_dict(child.state_dict(), strict=False)
            setattr(module, name, trained)
        else:
            _train_batch_norm(child)


def augment(pixels: np.ndarray, boxes: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Image (3, H, W) and boxes (n, 4) as shares of centre x, centre y, width, height; mirrored half the time."""
    if rng.random() < 0.5:
        mirrored = boxes.copy()
        mirrored[:, 0] = 1 - boxes[:, 0]
        return np.ascontiguousarray(pixels[:, :, ::-1]), mirrored
    return pixels, boxes


def targets(record: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """A line of the index -> (n, 4) float32 boxes as shares of centre x, centre y, width, height; (n,) int64 classes.

    Crowd boxes cover several objects at once: DETR is not trained on them.
    """
    single = [i for i, crowd in enumerate(record["iscrowd"]) if not crowd]
    corners = np.asarray([record["boxes"][i] for i in single], dtype=np.float32).reshape(-1, 4)
    sides = np.array([record["width"], record["height"]], dtype=np.float32)
    boxes = np.concatenate([(corners[:, :2] + corners[:, 2:] / 2) / sides, corners[:, 2:] / sides], axis=1)
    return boxes, np.asarray([record["labels"][i] for i in single], dtype=np.int64)


class Data(Dataset[Record]):
    """Rows {"pixels": (3, H, W) float32, "boxes": (n, 4) float32, "classes": (n,) int64}. Augmented with a `seed`."""

    def __init__(
        self, root: Path, split: str, preprocessing: Mapping[str, Any], labels: Labels, seed: int | None = None
    ) -> None:
        self.root, self.records, self.preprocessing = root, read_records(root, split), preprocessing
        self.seed, self.epoch = seed, 0

    def __len__(self) -> int:
        return len(self.records)

    def shape(self, index: int) -> tuple[int, ...]:
        """Only rows of equal shape share an evaluation batch: padding would change their boxes."""
        record = self.records[index]
        return predict.input_size((record["width"], record["height"]), self.preprocessing)

    def __getitem__(self, index: int) -> Record:
        record = self.records[index]
        pixels, _ = load_pixels(self.root / record["image"], predict.input_size, self.preprocessing)
        boxes, classes = targets(record)
        if self.seed is not None:  # depends on nothing but these three: a resumed training sees the same images
            pixels, boxes = augment(pixels, boxes, np.random.default_rng((self.seed, self.epoch, index)))
        return {"pixels": pixels, "boxes": boxes, "classes": classes}


def collate(rows: Sequence[Record]) -> dict[str, Any]:
    """-> `pixel_values` (N, 3, H, W) float32, `pixel_mask` (N, H, W) int64, `labels` one dict an image."""
    inputs = {name: torch.from_numpy(array) for name, array in predict.batch([r["pixels"] for r in rows]).items()}
    labels = [{"class_labels": torch.from_numpy(r["classes"]), "boxes": torch.from_numpy(r["boxes"])} for r in rows]
    return {**inputs, "labels": labels}


def loss(model: nn.Module, batch: Mapping[str, Any]) -> torch.Tensor:
    """DETR's set loss of what each decoder layer would answer if it were the last one, averaged over the layers.

    So the paper trains it (arXiv:2005.12872, auxiliary decoding losses): it hardly learns without. Averaged, it
    compares with the evaluation's loss. Boxes and classes are computed in fp32 whatever the network's own precision: in
    bf16 a box's edge would be off by up to two pixels of 512.
    """
    detr: Any = model
    states = decoder_states(detr, batch)
    config = copy.copy(detr.config)
    config.auxiliary_loss = True
    with torch.autocast(states.device.type, enabled=False):
        logits = detr.class_labels_classifier(states.float())
        boxes = detr.bbox_predictor(states.float()).sigmoid()
        truth = (batch["labels"], detr.device)
        total: torch.Tensor = detr.loss_function(logits[-1], *truth, boxes[-1], config, logits, boxes)[0]
    return total / config.decoder_layers


def decoder_states(detr: Any, batch: Mapping[str, Any]) -> torch.Tensor:
    """(layers, N, queries, width): each decoder layer's output, normalised as the last one's is."""
    outputs: list[torch.Tensor] = []
    decoder = detr.model.decoder
    hooks = [
        layer.register_forward_hook(lambda _layer, _given, state: outputs.append(state)) for layer in decoder.layers
    ]
    try:
        found = detr.model(batch["pixel_values"], pixel_mask=batch["pixel_mask"])
    finally:
        for hook in hooks:
            hook.remove()
    return torch.stack([*map(decoder.layernorm, outputs[:-1]), found.last_hidden_state])


def evaluation_loss(model: PreTrainedModel, outputs: Mapping[str, torch.Tensor], labels: Any) -> tuple[float, float]:
    """(sum of the images' set losses, their number): image by image, so that the batch size does not matter."""
    config = copy.copy(model.config)
    config.auxiliary_loss = False
    total = 0.0
    for logits, boxes, truth in zip(outputs["logits"], outputs["pred_boxes"], labels, strict=True):
        total += model.loss_function(logits[None], [truth], logits.device, boxes[None], config)[0].item()
    return total, len(labels)


class Evaluator:
    """All boxes, whatever their score, in pixels of the image, not rounded: COCO's figures need them all."""

    def __init__(self, labels: Labels, preprocessing: Mapping[str, Any]) -> None:
        self.figures = Accumulator(len(labels))

    def update(self, outputs: Mapping[str, np.ndarray], labels: Any, records: Sequence[Record]) -> None:
        for logits, boxes, record in zip(outputs["logits"], outputs["pred_boxes"], records, strict=True):
            found = predict.detections(logits, boxes, (record["width"], record["height"]))
            self.figures.update(found, record)

    def compute(self) -> dict[str, float]:
        return self.figures.compute()

    def never_predicted(self, hyperparameters: Mapping[str, Any]) -> list[int]:
        """The classes, as indices, that have boxes and that the stage, with its threshold, would find nowhere."""
        return self.figures.never_predicted(hyperparameters["threshold"])
