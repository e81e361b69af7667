"""Says in plain words, while it trains, that a training is of little use; and takes it back when it is no longer so.

Everything is read from the Trainer's own history, which is part of every checkpoint: a resumed training says the same.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from training.algorithms.base import Message, gettext_noop
from training.trainer.events import Events

History = Sequence[Mapping[str, Any]]
Notice = tuple[Message, Message]  # what is the matter, what to do about it
EVALUATED = "evaluated"  # marks an evaluation's line in the Trainer's history
UNPREDICTED = "unpredicted"  # in such a line: the classes, as indices, that were predicted for no image
WINDOW_STEPS = (10, 500)  # losses are compared as averages over a tenth of all steps, but of so many at least and most
FALLEN = 0.95  # of the first average: more than that is no fall
GOOD = 0.95  # a figure that good has little room left
NAMES_SHOWN = 10
EVALUATIONS_UNPREDICTED, EVALUATIONS_OVERFIT = 2, 3
NOTICEABLE = 0.01  # a validation figure between 0 and 1 moves by less for no reason


class Watch(TrainerCallback):
    """`figure` is the algorithm's `best_metric`; `labels` the classes in the order of their indices."""

    def __init__(self, events: Events, figure: str, labels: Sequence[Mapping[str, Any]]) -> None:
        self.events, self.figure = events, figure
        self.names = [label["name"] for label in labels]
        self.told: dict[str, Notice | None] = {}

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """The Trainer has just written a line of its history: a loss or an evaluation.

        A notice comes and goes with any of them; figures in it are brought up to date with an evaluation only.
        """
        evaluated = EVALUATED in state.log_history[-1]
        for code, look in LOOKS.items():
            found, told = look(self, state.log_history, state.max_steps), self.told.get(code)
            if code in self.told and (found == told or (found and told and not evaluated)):
                continue
            if found:
                self.events.notice(code, *found)
            else:
                self.events.withdraw(code)
            self.told[code] = found

    def evaluations(self, history: History) -> list[Mapping[str, Any]]:
        return [line for line in history if EVALUATED in line and f"eval_{self.figure}" in line]

    def not_falling(self, history: History, total_steps: int) -> Notice | None:
        """After three windows: the average loss of the newest is about that of the first, and no figure has risen."""
        newest = max((line["step"] for line in history if "loss" in line), default=0)
        window = min(max(total_steps // 10, WINDOW_STEPS[0]), WINDOW_STEPS[1])
        if newest < 3 * window:
            return None
        first, last = mean_loss(history, 0, window), mean_loss(history, newest - window, newest)
        if first is None or last is None or last < first * FALLEN or self._has_learned(history):
            return None
        text = gettext_noop(
            "The training loss has not fallen: it was %(first)s in the first steps, and after %(step)s it is %(last)s."
        )
        advice = gettext_noop(
            "Stop the training and try another learning_rate: a tenth or ten times as much. Look also whether the "
            "labels are right."
        )
        return Message(text, {"first": f"{first:.3g}", "last": f"{last:.3g}", "step": newest}), Message(advice)

    def _has_learned(self, history: History) -> bool:
        """The validation figure rose, or was good from the start: a model that is trained further is."""
        values = [line[f"eval_{self.figure}"] for line in self.evaluations(history)]
        return bool(values) and (max(values) > values[0] + NOTICEABLE or max(values) >= GOOD)

    def never_predicted(self, history: History, total_steps: int) -> Notice | None:
        newest = [line.get(UNPREDICTED) or [] for line in history if EVALUATED in line][-EVALUATIONS_UNPREDICTED:]
        if len(newest) < EVALUATIONS_UNPREDICTED:
            return None
        classes = [self.names[i] for i in newest[0] if all(i in missing for missing in newest)]
        if not classes:
            return None
        text = gettext_noop("Of %(count)s class(es) not one image was predicted in the last evaluations: %(names)s.")
        advice = gettext_noop(
            "Often a class has too few images or its labels are mixed up: add images of it, or look at its labels. "
            "Early in a training it may still come by itself."
        )
        shown = ", ".join(classes[:NAMES_SHOWN]) + (", ..." if len(classes) > NAMES_SHOWN else "")
        return Message(text, {"count": len(classes), "names": shown}), Message(advice)

    def overfitting(self, history: History, total_steps: int) -> Notice | None:
        """The figure has been falling since its best evaluation, at least two ago, and the training loss has too."""
        found = self.evaluations(history)
        if len(found) < EVALUATIONS_OVERFIT:
            return None
        name = f"eval_{self.figure}"
        at = max(range(len(found)), key=lambda i: (found[i][name], -i))
        best, newest = found[at], found[-1]
        before = found[at - 1]["step"] if at else 0
        then = mean_loss(history, before, best["step"])
        now = mean_loss(history, found[-2]["step"], newest["step"])
        falls = newest[name] < best[name] - NOTICEABLE and at <= len(found) - EVALUATIONS_OVERFIT
        if not falls or then is None or now is None or now > then * FALLEN:
            return None
        text = gettext_noop(
            "Over-fitting: the training loss goes on falling, but on the validation images %(figure)s was best after "
            "epoch %(epoch)s (%(best)s) and is %(now)s now."
        )
        advice = gettext_noop(
            "Train fewer epochs, or choose early stopping: the best epoch is then the model. More images help too."
        )
        names = {"figure": self.figure, "epoch": f"{best['epoch']:g}"}
        figures = {"best": f"{best[name]:.3f}", "now": f"{newest[name]:.3f}"}
        return Message(text, {**names, **figures}), Message(advice)


LOOKS: dict[str, Callable[[Watch, History, int], Notice | None]] = {
    "loss_not_falling": Watch.not_falling,
    "never_predicted": Watch.never_predicted,
    "overfitting": Watch.overfitting,
}


def mean_loss(history: History, after: int, upto: int) -> float | None:
    """The average training loss of the steps `after` + 1 to `upto`, as far as it was logged; None where it was not.

    A logged loss is the average of the steps since the one logged before it.
    """
    total, steps, done = 0.0, 0, 0
    for line in history:
        if "loss" in line:
            overlap = min(upto, line["step"]) - max(after, done)
            if overlap > 0:
                total, steps = total + line["loss"] * overlap, steps + overlap
            done = line["step"]
    return total / steps if steps else None
