"""Follows the Hugging Face Trainer and tells everyone: events for the console, lines for the log, TensorBoard."""

import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from training.trainer.events import Events, say


class TensorBoard:
    """Scalars `train/loss`, `eval/accuracy`, `test/accuracy`, ... flushed at once, so that they show."""

    def __init__(self, run: Path) -> None:
        self.folder = run / "tensorboard"
        self._writer: SummaryWriter | None = None

    def open(self, step: int) -> None:
        """`step`: where a resumed training goes on. What a killed attempt wrote after it is hidden."""
        self.close()
        self._writer = SummaryWriter(str(self.folder), purge_step=step + 1 if step else None)

    def add(self, values: Mapping[str, float], step: int) -> None:
        if self._writer is None:
            self.open(0)
        assert self._writer is not None
        for name, value in values.items():
            kind, _, rest = name.partition("_")
            tag = f"{kind}/{rest}" if kind in ("eval", "test") else f"train/{name}"
            self._writer.add_scalar(tag, value, step)
        self._writer.flush()

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None


class Report(TrainerCallback):
    """Relays steps, losses, learning rate and metrics."""

    def __init__(self, events: Events, board: TensorBoard) -> None:
        self.events, self.board = events, board
        self._started, self._first_step = 0.0, 0

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._started, self._first_step = time.monotonic(), state.global_step
        self.board.open(state.global_step)
        self.events.progress(state.global_step, state.max_steps, state.epoch or 0.0, None)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        done = state.global_step - self._first_step
        left = (time.monotonic() - self._started) / max(done, 1) * (state.max_steps - state.global_step)
        self.events.progress(state.global_step, state.max_steps, state.epoch or 0.0, round(left, 1))

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        """`loss` and `learning_rate`, or an evaluation's `eval_*`. The Trainer's own summary is left out."""
        values = {name: v for name, v in (logs or {}).items() if name in ("loss", "learning_rate") or "eval_" in name}
        if values:
            self.show(values, state)

    def show(self, values: Mapping[str, float], state: TrainerState) -> None:
        """One line in the log, one metric event, and the scalars. Values that are no finite number are left out."""
        finite = {name: value for name, value in values.items() if math.isfinite(value)}
        epoch = round(state.epoch or 0.0, 4)
        say({**{name: float(f"{value:.6g}") for name, value in finite.items()}, "epoch": epoch})
        self.events.metric(state.global_step, epoch, finite)
        self.board.add(finite, state.global_step)

    def show_test(self, metrics: Mapping[str, float], state: TrainerState) -> None:
        """The test result: a line in the log and scalars; the console gets it with the `result` event."""
        values = {f"test_{name.removeprefix('test_')}": value for name, value in metrics.items()}
        say({name: float(f"{value:.6g}") for name, value in values.items()})
        self.board.add(values, state.global_step)
