"""The registry: key -> dotted path of the algorithm's package, imported on first use.

Adding an algorithm is adding a folder with spec.py, dataset.py, train.py, metrics.py and predict.py
and one line here. `spec`, `dataset` and `predict` never import torch; `train` does.
"""

from functools import cache
from importlib import import_module
from types import ModuleType

from training.algorithms.base import Algorithm

PACKAGES = {
    "image_classification": "training.algorithms.image_classification",
    "semantic_segmentation": "training.algorithms.semantic_segmentation",
    "object_detection": "training.algorithms.object_detection",
}
CHOICES = (
    ("image_classification", "Image Classification"),
    ("semantic_segmentation", "Semantic Segmentation"),
    ("object_detection", "Object Detection"),
)


@cache
def get(key: str) -> Algorithm:
    """The algorithm's specification. Raises KeyError when there is none of that key."""
    spec: Algorithm = part(key, "spec").ALGORITHM
    return spec


def part(key: str, module: str) -> ModuleType:
    """A module of the algorithm's package: "spec", "dataset", "train", "metrics" or "predict"."""
    return import_module(f"{PACKAGES[key]}.{module}")


def all_algorithms() -> list[Algorithm]:
    return [get(key) for key in PACKAGES]
