"""The Hugging Face Trainer with the product's own loss, evaluation, checkpoints and stop."""

import math
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from transformers import (
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from training.algorithms.base import Message, gettext_noop
from training.trainer import checkpoints, room, speed
from training.trainer.early_stopping import EarlyStopping
from training.trainer.evaluation import evaluate
from training.trainer.events import Events
from training.trainer.failures import Failure, is_out_of_memory
from training.trainer.memory import Memory, Probe, free, make_moments
from training.trainer.reporting import Report
from training.trainer.stop import StopSignal
from training.trainer.watch import EVALUATED, UNPREDICTED, Watch
from training.trainer.weights import Weights


class EndedEarly(Exception):
    """There is no step left to train: the epochs of early stopping are over."""


class FollowJob(TrainerCallback):
    """Tries whether a batch fits, tells the data its epoch, and ends training after the step in which a stop was asked
    for."""

    def __init__(self, trainer: "JobTrainer", stop: StopSignal) -> None:
        self.trainer, self.stop = trainer, stop

    def on_train_begin(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Say what can be foreseen. One that was stopped at an epoch's end, before its evaluation, makes up for it."""
        Probe(self.trainer).run()
        speed.keep_memory()
        if tight := room.foresee(self.trainer.checkpoints_folder, self.trainer.network):
            self.trainer.events.warning("no_checkpoint", tight)
        done = state.epoch or 0.0
        if done and done == int(done) and not self.trainer.is_evaluated():
            self.trainer.evaluate()
            if self.trainer.ended_early():
                raise EndedEarly

    def on_epoch_begin(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self.trainer.data.epoch = int(state.epoch or 0)

    def on_pre_optimizer_step(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self.trainer.take_moments()

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if state.global_step == self.trainer.first_step + 1:  # only now is it sure that the batch fits in memory
            self.trainer.events.setting(**self.trainer.memory.settings())
        if state.global_step >= state.max_steps:
            control.should_log = True  # the last losses, however few steps there were since the last time
        if self.stop.requested:
            control.should_save = control.should_training_stop = True

    def on_epoch_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if self.stop.requested:
            control.should_evaluate = False


class JobTrainer(Trainer):
    """`algorithm` is the algorithm's train module; `make_evaluator` gives a fresh one for each evaluation."""

    def __init__(
        self,
        *,
        algorithm: ModuleType,
        make_evaluator: Any,
        weights: Weights,
        events: Events,
        report: Report,
        stop: StopSignal,
        watch: Watch,
        memory: Memory,
        early_stopping: EarlyStopping,
        hyperparameters: Mapping[str, Any],
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs, callbacks=[report, watch])
        self.data: Any = self.train_dataset
        self.network: Any = self.model
        self.validation: Any = self.eval_dataset
        self.remove_callback(PrinterCallback)  # Report prints
        self.add_callback(FollowJob(self, stop))  # after the Trainer's own: it has the last word
        self.model_accepts_loss_kwargs = False  # the algorithm's loss averages over its own batch
        self.algorithm, self.make_evaluator, self.weights = algorithm, make_evaluator, weights
        self.events, self.report, self.stop = events, report, stop
        self.memory, self.early_stopping, self.hyperparameters = memory, early_stopping, hyperparameters
        self.unpredicted: list[int] = []
        self.evaluation_batch = max(1, self.args.per_device_eval_batch_size // memory.parts)
        self.first_step = 0
        self.current_gradient_accumulation_steps = 1  # our own parts are none of the Trainer's accumulation
        self.restored = False  # whether the weights are the best epoch's, not the last one's
        self.share = 1.0  # of the batch that the images at hand are

    @property
    def batch_size(self) -> int:
        """Images a step, in however many parts; smaller than asked for when the automatic choice had to try again."""
        return int(self._train_batch_size)

    def compute_loss(  # type: ignore[override]
        self, model: Any, inputs: Any, return_outputs: bool = False, **kwargs: Any
    ) -> Any:
        with self.accelerator.autocast():
            loss = self.algorithm.loss(model, inputs) * self.share
        return (loss, None) if return_outputs else loss

    def training_step(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> torch.Tensor:
        """One batch, in parts if memory wants it so: in more of them when it does not suffice any more."""
        while (loss := self._within_memory(model, inputs)) is None:
            model.zero_grad()
            self._halve()
        if not math.isfinite(loss.item()):
            text = gettext_noop(
                "The training loss became infinite or not a number at step %(step)s. "
                "Lower learning_rate (it is %(rate)s); values between 1e-5 and 1e-3 are usual."
            )
            names = {"step": self.state.global_step + 1, "rate": f"{self.args.learning_rate:g}"}
            raise Failure("loss_not_finite", Message(text, names))
        return loss

    def _within_memory(self, model: Any, inputs: Any) -> torch.Tensor | None:
        """The batch's loss, its gradients added up; None when memory does not suffice."""
        total = torch.zeros((), device=self.args.device)
        try:
            for piece, share in self.memory.pieces(inputs):
                self.share = share
                total = total + super().training_step(model, piece)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            return None
        return total

    def take_moments(self) -> None:
        """What the optimiser needs beside the gradients, which stay: a step that fails for want of it is not lost."""
        while not make_moments(getattr(self.optimizer, "optimizer", self.optimizer)):
            self._halve()

    def _halve(self) -> None:
        """Call it when the error is gone: it had held on to what the step had made."""
        free()
        self.memory.halve()
        self.memory.tell()

    def forward_backward(self, inputs: Any) -> None:
        """As in a step, whose gradients are then there."""
        self.share = 1.0
        super().training_step(self.model_wrapped, inputs)

    def floating_point_ops(self, inputs: Any) -> int:
        return 0  # the Trainer counts tokens; images have none

    def measure(self, data: Any) -> dict[str, float]:
        """Evaluate one split. -> {"loss": ..., every metric by name}; a figure that is no finite number is left out.

        The batch size changes no figure: it is halved when memory does not suffice.
        """
        while (figures := self._measured(data)) is None:
            free()
            self.evaluation_batch //= 2
        return {name: value for name, value in figures.items() if math.isfinite(value)}

    def _measured(self, data: Any) -> dict[str, float] | None:
        """All figures; None when memory does not suffice for a batch, unless that is a single image."""
        evaluator = self.make_evaluator()
        try:
            figures = evaluate(
                self.network,
                data,
                train=self.algorithm,
                evaluator=evaluator,
                batch_size=self.evaluation_batch,
                workers=self.args.dataloader_num_workers,
                stop=self.stop,
            )
        except Exception as error:
            if self.evaluation_batch > 1 and is_out_of_memory(error):
                return None
            raise
        self.unpredicted = evaluator.never_predicted(self.hyperparameters)
        return figures

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """On the validation split, if there is one; the Trainer calls this at the end of every epoch."""
        if not len(self.validation):
            return {}
        self.events.phase("evaluating")
        metrics = {f"eval_{name}": value for name, value in self.measure(self.validation).items()}
        self.log({**metrics, EVALUATED: 1.0, UNPREDICTED: self.unpredicted})  # type: ignore[dict-item]
        if self.early_stopping.is_new_best(self.state.log_history):
            self.control.should_save = True
        if self.early_stopping.is_due(self.state.log_history):
            self.control.should_save = self.control.should_training_stop = True
        if self.is_in_train:
            self.events.phase("training")
        return metrics

    def last_evaluation(self) -> dict[str, Any]:
        """The newest evaluation's line of the Trainer's history, {} when there is none."""
        return next((line for line in reversed(self.state.log_history) if EVALUATED in line), {})

    def is_evaluated(self) -> bool:
        """Whether the weights of this step were evaluated already."""
        return self.last_evaluation().get("step") == self.state.global_step

    @property
    def checkpoints_folder(self) -> Path:
        return Path(str(self.args.output_dir))

    def _get_output_dir(self, trial: Any) -> str:
        return str(self.checkpoints_folder / "partial")

    def _save_checkpoint(self, model: Any, trial: Any = None) -> None:
        """Save unless it is there already. What the disk does not take, the training goes on without, and says so."""
        final = self.checkpoints_folder / f"checkpoint-{self.state.global_step}"
        if final.exists() and checkpoints.is_complete(final):
            return
        try:
            needed, best = room.checkpoint_bytes(self.checkpoints_folder, self.network), self.best_checkpoint()
            room.make(self.checkpoints_folder, needed, keep=[best] if best else [])
            self._write_checkpoint(final, model, trial)
        except Exception as error:
            why = room.why_not(error)
            if why is None:
                raise
            shutil.rmtree(self.checkpoints_folder / "partial", ignore_errors=True)
            last = checkpoints.newest_complete(self.checkpoints_folder)
            self.events.warning("no_checkpoint", room.warning(self.state.global_step, why, last))

    def _write_checkpoint(self, final: Path, model: Any, trial: Any) -> None:
        """Write to checkpoints/partial/, make it verifiable, sync, rename, drop what is older than the newest 3."""
        name = final.name
        super()._save_checkpoint(model, trial)
        partial = self.checkpoints_folder / "partial" / name
        checkpoints.seal(partial, self.weights.as_json(), self.memory.parts)
        self.events.fence.check()
        checkpoints.publish(partial, final)
        checkpoints.prune(self.checkpoints_folder, self.best_checkpoint())
        self.events.emit("checkpoint", step=self.state.global_step, folder=name)

    def ended_early(self) -> bool:
        return self.early_stopping.is_due(self.state.log_history)

    def best_checkpoint(self) -> Path | None:
        """Where the weights of the best epoch are; None without early stopping."""
        best = self.early_stopping.best(self.state.log_history)
        return self.checkpoints_folder / f"checkpoint-{best['step']}" if best else None

    def save_checkpoint(self) -> None:
        """Save the state as it is: only between two steps."""
        self._save_checkpoint(self.model)

    def _load_from_checkpoint(self, *args: Any, **kwargs: Any) -> None:
        """Nothing to do: a resumed training's network was built from the checkpoint's files.

        The Trainer's own loader would skip, with a warning, every name that transformers changes on its way
        between memory and file: for DETR that is nearly all of them.
        """

    def restore(self, checkpoint: Path) -> None:
        """The state of a checkpoint whose training had done its last step."""
        self.state = TrainerState.load_from_json(str(checkpoint / "trainer_state.json"))


def arguments(hyperparameters: Mapping[str, Any], **fields: Any) -> TrainingArguments:
    """The guide's hyperparameters are TrainingArguments by name; `fields` are the product's own choices."""
    names = set(TrainingArguments.__dataclass_fields__)
    given = {name: value for name, value in hyperparameters.items() if name in names}
    return TrainingArguments(
        **{
            **given,
            "optim": "adamw_torch_fused",
            "lr_scheduler_type": "linear",
            "weight_decay": 1e-4,
            "eval_strategy": "epoch",
            "save_strategy": "steps",
            "logging_strategy": "steps",
            "logging_first_step": True,
            "logging_nan_inf_filter": False,
            "remove_unused_columns": False,
            "disable_tqdm": True,
            "report_to": [],
            **fields,
        }
    )
