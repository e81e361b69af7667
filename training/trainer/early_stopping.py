"""Early stopping: after so many epochs without a better validation figure it ends, and the best epoch is the model."""

from collections.abc import Mapping
from typing import Any

from training.algorithms.base import Message, gettext_noop
from training.trainer.events import Events
from training.trainer.watch import EVALUATED, History


class EarlyStopping:
    """`patience`: epochs, 0 for never; `figure`: the algorithm's `best_metric`, of which more is better.

    Everything is read from the Trainer's history, so that a resumed training decides as an uninterrupted one.
    """

    def __init__(self, patience: int, figure: str) -> None:
        self.patience, self.figure = patience, figure

    def _evaluations(self, history: History) -> list[Mapping[str, Any]]:
        return [line for line in history if EVALUATED in line and f"eval_{self.figure}" in line]

    def best(self, history: History) -> Mapping[str, Any] | None:
        """The line of the best evaluation, the first of equals; None without early stopping or evaluation."""
        if not self.patience:
            return None
        return max(self._evaluations(history), key=lambda line: line[f"eval_{self.figure}"], default=None)

    def is_new_best(self, history: History) -> bool:
        found = self._evaluations(history)
        return bool(self.patience and found) and self.best(history) is found[-1]

    def is_due(self, history: History) -> bool:
        """Whether the newest `patience` evaluations were all no better than one before them."""
        found, best = self._evaluations(history), self.best(history)
        if best is None:
            return False
        return len(found) - 1 - next(i for i, line in enumerate(found) if line is best) >= self.patience

    def tell(self, history: History, events: Events, last_epoch: float, restored: bool) -> None:
        """Which epoch the model is, and why training ended before its last step, if it did."""
        best = self.best(history)
        if best is None:
            return
        names = {
            "figure": self.figure,
            "best": f"{best[f'eval_{self.figure}']:.3f}",
            "epoch": f"{best['epoch']:g}",
            "last": f"{last_epoch:g}",
            "patience": self.patience,
        }
        if not restored:
            text = gettext_noop(
                "The model is that of the last epoch, %(last)s: the checkpoint of the best, %(epoch)s, cannot be read."
            )
        elif self.is_due(history):
            text = gettext_noop(
                "Training ended early, after epoch %(last)s: %(figure)s on the validation images had not risen for "
                "%(patience)s epoch(s). The model is that of epoch %(epoch)s, the best (%(best)s)."
            )
        else:
            text = gettext_noop(
                "The model is that of epoch %(epoch)s: there %(figure)s on the validation images was best (%(best)s)."
            )
        events.notice("best_epoch", Message(text, names), level="warning" if not restored else "info")
