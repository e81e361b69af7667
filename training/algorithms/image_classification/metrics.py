"""Accuracy, precision, recall and F1 from a confusion matrix that grows batch by batch."""

import numpy as np


class Accumulator:
    """Holds one (classes, classes) matrix of counts, rows actual, columns predicted: never an image's logits."""

    def __init__(self, classes: int) -> None:
        self.matrix = np.zeros((classes, classes), dtype=np.int64)

    def update(self, predicted: np.ndarray, actual: np.ndarray) -> None:
        """Add a batch: (N,) class indices each."""
        np.add.at(self.matrix, (actual, predicted), 1)

    def never_predicted(self) -> list[int]:
        """The classes that occur in the truth and nowhere in the predictions."""
        return [int(i) for i in np.flatnonzero((self.matrix.sum(axis=1) > 0) & (self.matrix.sum(axis=0) == 0))]

    def compute(self) -> dict[str, float]:
        """Macro averages over the classes that occur in truth or prediction; 0 where a class was never predicted.

        `f1` is the harmonic mean of the two averages, as the guide defines it (scikit-learn's macro F1 is the
        average of the classes' own).
        """
        correct = np.diag(self.matrix).astype(float)
        predicted, actual = self.matrix.sum(axis=0), self.matrix.sum(axis=1)
        seen = (predicted + actual) > 0
        precision = float((correct / np.maximum(predicted, 1))[seen].mean()) if seen.any() else 0.0
        recall = float((correct / np.maximum(actual, 1))[seen].mean()) if seen.any() else 0.0
        return {
            "accuracy": float(correct.sum() / max(self.matrix.sum(), 1)),
            "precision": precision,
            "recall": recall,
            "f1": 2 * precision * recall / (precision + recall) if precision + recall else 0.0,
        }
