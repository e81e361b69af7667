"""Overlap and accuracy of class maps from a confusion matrix of pixels that grows image by image."""

from collections.abc import Sequence

import numpy as np


class Accumulator:
    """Holds one (classes, classes) matrix of pixel counts, rows actual, columns predicted."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = list(names)
        self.matrix = np.zeros((len(names), len(names)), dtype=np.int64)

    def update(self, predicted: np.ndarray, actual: np.ndarray) -> None:
        """Add an image: class indices of equal shape; a pixel whose actual class is negative is ignored."""
        counted = actual >= 0
        classes = len(self.names)
        pairs = actual[counted].astype(np.int64) * classes + predicted[counted]
        self.matrix += np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)

    def never_predicted(self) -> list[int]:
        """The classes (as indices) that occur in the truth and in no predicted pixel."""
        return [int(i) for i in np.flatnonzero((self.matrix.sum(axis=1) > 0) & (self.matrix.sum(axis=0) == 0))]

    def compute(self) -> dict[str, float]:
        """Means leave out a class absent from truth and prediction; `mean_accuracy` one absent from the truth.

        A class without a value has no per-class series either.
        """
        correct = np.diag(self.matrix).astype(float)
        actual, predicted = self.matrix.sum(axis=1), self.matrix.sum(axis=0)
        union = actual + predicted - np.diag(self.matrix)
        accuracy = {name: correct[i] / actual[i] for i, name in enumerate(self.names) if actual[i]}
        iou = {name: correct[i] / union[i] for i, name in enumerate(self.names) if union[i]}
        return {
            "mean_iou": float(np.mean(list(iou.values()))) if iou else 0.0,
            "mean_accuracy": float(np.mean(list(accuracy.values()))) if accuracy else 0.0,
            "overall_accuracy": float(correct.sum() / max(actual.sum(), 1)),
            **{f"per_category_accuracy/{name}": float(value) for name, value in accuracy.items()},
            **{f"per_category_iou/{name}": float(value) for name, value in iou.items()},
        }
