"""The twelve COCO figures, by pycocotools."""

import contextlib
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from training.algorithms.object_detection.predict import Detections
from training.algorithms.object_detection.spec import COCO_METRICS, UNDEFINED

MOST_BOXES = 100  # an image: what COCO looks at


class Accumulator:
    """Holds, for each image, its true boxes and at most 100 predicted ones (7 numbers each)."""

    def __init__(self, classes: int) -> None:
        self.classes = classes
        self.images: list[dict[str, Any]] = []
        self.annotations: list[dict[str, Any]] = []
        self.found: list[np.ndarray] = []

    def update(self, found: Detections, truth: Mapping[str, Any]) -> None:
        """Add an image: its detections and its line of the index."""
        image_id = len(self.images) + 1
        self.images.append({"id": image_id, "width": truth["width"], "height": truth["height"]})
        for box, label, area, crowd in zip(
            truth["boxes"], truth["labels"], truth["area"], truth["iscrowd"], strict=True
        ):
            annotation = {"image_id": image_id, "bbox": box, "category_id": label, "area": area, "iscrowd": crowd}
            self.annotations.append({"id": len(self.annotations) + 1, **annotation})
        boxes, count = found.boxes[:MOST_BOXES], min(len(found.scores), MOST_BOXES)
        columns = [np.full(count, image_id), boxes[:, 0], boxes[:, 1], boxes[:, 2] - boxes[:, 0]]
        columns += [boxes[:, 3] - boxes[:, 1], found.scores[:MOST_BOXES], found.classes[:MOST_BOXES]]
        self.found.append(np.stack(columns, axis=1).astype(np.float64))

    def never_predicted(self, threshold: float) -> list[int]:
        """The classes that have true boxes and not one predicted box whose score reaches the threshold."""
        score, label = 5, 6  # columns of `found`
        boxes = np.concatenate(self.found) if self.found else np.zeros((0, 7))
        predicted = {int(i) for i in boxes[boxes[:, score] >= threshold, label]}
        return sorted({annotation["category_id"] for annotation in self.annotations} - predicted)

    def compute(self) -> dict[str, float]:
        """All twelve figures by name, as pycocotools gives them: UNDEFINED where the truth has no such objects."""
        if not self.annotations:
            return {metric.name: UNDEFINED for metric in COCO_METRICS}
        values = self._summarize(np.concatenate(self.found))
        return {metric.name: float(value) for metric, value in zip(COCO_METRICS, values, strict=True)}

    def _summarize(self, found: np.ndarray) -> Sequence[float]:
        with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints its progress
            truth = COCO()
            truth.dataset = {
                "info": {},
                "images": self.images,
                "annotations": self.annotations,
                "categories": [{"id": i, "name": str(i)} for i in range(self.classes)],
            }
            truth.createIndex()
            evaluation = COCOeval(truth, truth.loadRes(found), "bbox")
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
        stats: Sequence[float] = evaluation.stats
        return stats
