"""Rows from a dataset to a stage, in the status that a page needs. No worker runs beside the page tests."""

import json
from typing import Any

from PIL import Image

from endpoints.models import Endpoint, Stage, StageResource
from models_registry.models import Model
from training import algorithms
from training.models import Dataset, Project, Training

LABELS = [{"id": 0, "name": "cat"}, {"id": 1, "name": "dog"}]
BEST = {"accuracy": 0.91, "precision": 0.9, "recall": 0.89, "f1": 0.895, "eval_loss": 0.3}


def dataset(project: Project, name: str = "pets", algorithm: str = "image_classification", **fields: Any) -> Dataset:
    values = {"status": "READY", "labels": LABELS, "images": {"train": 3, "test": 3}} | fields
    return Dataset.objects.create(project=project, name=name, algorithm=algorithm, **values)


def with_images(row: Dataset, split: str, count: int = 3) -> Dataset:
    """Its files on the disk, as far as a stage page reads them."""
    (row.data_folder / split).mkdir(parents=True)
    (row.data_folder / "index").mkdir(exist_ok=True)
    lines = []
    for number in range(count):
        path = f"{split}/{number}.png"
        Image.new("RGB", (24, 16), (40 * number, 90, 120)).save(row.data_folder / path)
        lines.append(json.dumps({"image": path, "label": 0}))
    (row.data_folder / "index" / f"{split}.jsonl").write_text("\n".join(lines) + "\n")
    return row


def training(source: Dataset, name: str = "first run", status: str = "COMPLETE", **fields: Any) -> Training:
    values = {
        "algorithm": source.algorithm,
        "dataset_name": source.name,
        "hyperparameters": algorithms.get(source.algorithm).defaults(),
        "metrics": BEST if status == "COMPLETE" else {},
    }
    return Training.objects.create(
        project=source.project, dataset=source, name=name, status=status, **(values | fields)
    )


def model(origin: Training, name: str = "pets model", status: str = "ACTIVE", **fields: Any) -> Model:
    return Model.objects.create(
        project=origin.project,
        training=origin,
        algorithm=origin.algorithm,
        name=name,
        status=status,
        **({"labels": LABELS, "metrics": origin.metrics} | fields),
    )


def endpoint(served: Model, name: str = "pets api", status: str = "ACTIVE", **fields: Any) -> Endpoint:
    """With its default stage, in the same status."""
    made = Endpoint.objects.create(project=served.project, name=name, status=status, **fields)
    made.default_stage = stage(made, served, "default", status)
    made.save()
    return made


def stage(owner: Endpoint, served: Model, name: str, status: str = "ACTIVE", path: str = "/inference") -> Stage:
    made = Stage.objects.create(endpoint=owner, name=name, status=status)
    StageResource.objects.create(stage=made, model=served, path=path)
    return made
