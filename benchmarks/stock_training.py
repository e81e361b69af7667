"""What training is compared with: the set-up of the transformers example scripts, written anew.

Eager fp32, the stock Trainer and its default optimiser, transformers' own image processors (those on Pillow, for
torchvision is not installed) image by image in the data set, the network's own loss. The network is the product's,
weight by weight; SegFormer's decode head is transformers'. The examples' augmentation is left out: it would cost more.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch.utils.data import Dataset
from transformers import (
    ConvNextImageProcessorPil,
    DetrImageProcessorPil,
    SegformerForSemanticSegmentation,
    SegformerImageProcessorPil,
    Trainer,
    TrainingArguments,
    set_seed,
)

from training import algorithms
from training.trainer.records import Record, read_facts, read_labels, read_records
from training.trainer.weights import Weights


class Stock(Dataset[Any]):
    """Rows as the processor of the algorithm makes them."""

    def __init__(self, algorithm: str, root: Path, hyperparameters: dict[str, Any]) -> None:
        self.algorithm, self.root, self.records = algorithm, root, read_records(root, "train")
        processors: dict[str, Any] = {
            "image_classification": lambda: ConvNextImageProcessorPil(
                size={"shortest_edge": hyperparameters["input_size"]}, crop_pct=224 / 256
            ),
            "semantic_segmentation": SegformerImageProcessorPil,
            "object_detection": lambda: DetrImageProcessorPil(
                size={"shortest_edge": min(read_facts(root)["median_size"]), "longest_edge": 1333}
            ),
        }
        self.processor = processors[algorithm]()

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> dict[str, Any]:
        record = self.records[index]
        image = Image.open(self.root / record["image"]).convert("RGB")
        if self.algorithm == "image_classification":
            return {**self._processed(image), "labels": record["label"]}
        if self.algorithm == "semantic_segmentation":
            return self._processed(image, segmentation_maps=Image.open(self.root / record["mask"]))
        return self._processed(image, annotations=annotations(record))

    def _processed(self, image: Image.Image, **more: Any) -> dict[str, Any]:
        return {name: value[0] for name, value in self.processor(image, return_tensors="pt", **more).items()}


def annotations(record: Record) -> dict[str, Any]:
    """A line of the index as COCO has it."""
    rows = zip(record["boxes"], record["labels"], record["area"], record["iscrowd"], strict=True)
    names = ("bbox", "category_id", "area", "iscrowd")
    return {"image_id": record["image_id"], "annotations": [dict(zip(names, row, strict=True)) for row in rows]}


def collate(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """All images are of one size here. A label is a number, a map, or for detection a dict."""
    batch: dict[str, Any] = {
        name: torch.stack([row[name] for row in rows]) for name in ("pixel_values", "pixel_mask") if name in rows[0]
    }
    labels = [row["labels"] for row in rows]
    if isinstance(labels[0], int):
        return {**batch, "labels": torch.tensor(labels)}
    return {**batch, "labels": torch.stack(labels) if isinstance(labels[0], torch.Tensor) else labels}


def network(algorithm: str, root: Path) -> Any:
    """The product's network with the seed that it has, as transformers computes it."""
    set_seed(42)
    model = algorithms.part(algorithm, "train").build({}, read_labels(root), Weights("scratch"))
    if algorithm != "semantic_segmentation":
        return model
    stock = SegformerForSemanticSegmentation(model.config)
    stock.load_state_dict(model.state_dict())
    return stock


def trainer(algorithm: str, root: Path, hyperparameters: dict[str, Any], device: str, steps: int) -> Trainer:
    optimiser: dict[str, Any] = {"optim": os.environ["BENCH_OPTIM"]} if os.environ.get("BENCH_OPTIM") else {}
    args = TrainingArguments(
        output_dir=str(root.parent / "stock"),
        per_device_train_batch_size=hyperparameters["per_device_train_batch_size"],
        learning_rate=hyperparameters["learning_rate"],
        max_steps=steps,
        use_cpu=device == "cpu",
        save_strategy="no",
        remove_unused_columns=False,
        **optimiser,
        report_to=[],
        disable_tqdm=True,
    )
    data = Stock(algorithm, root, hyperparameters)
    return Trainer(model=network(algorithm, root), args=args, train_dataset=data, data_collator=collate)
