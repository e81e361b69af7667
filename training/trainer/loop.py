"""One training, from top to bottom: settings, weights, data, model, training, evaluation, test, model files."""

import json
import math
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from transformers import TrainingArguments, set_seed
from transformers.utils import logging as transformers_logging

from training import algorithms
from training.algorithms.base import Message, gettext_noop
from training.trainer import checkpoints, devices, speed
from training.trainer.artifacts import save_model
from training.trainer.config import Config
from training.trainer.early_stopping import EarlyStopping
from training.trainer.events import Events
from training.trainer.failures import Failure
from training.trainer.job_trainer import EndedEarly, JobTrainer, arguments
from training.trainer.memory import Memory
from training.trainer.records import read_facts, read_labels
from training.trainer.reporting import Report, TensorBoard
from training.trainer.stop import Stopped, StopSignal
from training.trainer.watch import Watch
from training.trainer.weights import Weights, resolve

WARM_UP = 0.03  # of all steps the learning rate rises: AdamW's first steps are its wildest


class Job(NamedTuple):
    """One training, ready to run. `used` is what the trainer chose, `about` what model.json says of it."""

    trainer: JobTrainer
    data: dict[str, Any]
    labels: Any
    checkpoint: Path | None
    used: dict[str, Any]
    about: dict[str, Any]


def run(config: Config, events: Events, stop: StopSignal) -> None:
    """Train, and leave model/ and a `result` event. Raises Failure, Stopped, or whatever went wrong."""
    events.phase("preparing")
    job = prepare(config, events, stop)
    trainer = job.trainer

    stop.hold()
    events.phase("training")
    fit(trainer, job.checkpoint, stop)
    keep_best(trainer, config, job.labels)
    result = {"metrics": final_metrics(trainer), "test_metrics": final_test(trainer, job.data["test"])}

    events.phase("saving")
    settings = job.used | trainer.memory.settings()
    save_model(config.run, trainer.network, {**job.about, "settings": settings, **result}, events.fence)
    events.emit("result", **result)
    trainer.report.board.close()


def prepare(config: Config, events: Events, stop: StopSignal) -> Job:
    """Data, weights, network and trainer, before anything is computed."""
    transformers_logging.disable_progress_bar()  # the log is a file, not a terminal
    transformers_logging.set_verbosity_error()  # what does not fit when weights are loaded is checked in building.py
    set_seed(config.seed)
    train = algorithms.part(config.spec.key, "train")
    predict = algorithms.part(config.spec.key, "predict")
    labels = read_labels(config.dataset)
    preprocessing = predict.preprocessing(config.hyperparameters, read_facts(config.dataset))

    data = read_splits(config, train, preprocessing, labels, events)
    checkpoint, weights = starting_point(config, train, events)
    device = devices.choose_device(config.device)
    model = speed.arrange(train.build(config.architecture, labels, weights), data["train"], device)
    used = choices(config, device, model, data["train"], train, weights)
    events.setting(**used)
    trainer = JobTrainer(
        **guards(config, used, train, labels, checkpoint, events),
        algorithm=train,
        make_evaluator=lambda: train.Evaluator(labels, preprocessing),
        weights=weights,
        events=events,
        report=Report(events, TensorBoard(config.run)),
        stop=stop,
        model=model,
        args=training_arguments(config, used, len(data["train"]), train),
        train_dataset=data["train"],
        eval_dataset=data["validation"],
        data_collator=train.collate,
    )
    return Job(trainer, data, labels, checkpoint, used, describe(config, labels, preprocessing))


def describe(config: Config, labels: Any, preprocessing: Any) -> dict[str, Any]:
    """What model.json says besides figures and settings."""
    return {
        "algorithm": config.spec.key,
        "labels": labels,
        "preprocessing": preprocessing,
        "threshold": config.hyperparameters.get("threshold"),
        "hyperparameters": dict(config.hyperparameters),
    }


def read_splits(config: Config, train: ModuleType, preprocessing: Any, labels: Any, events: Events) -> dict[str, Any]:
    """The three splits' data; without a validation split the test split serves as one. Only `train` is augmented."""
    data = {
        split: train.Data(config.dataset, split, preprocessing, labels, config.seed if split == "train" else None)
        for split in ("train", "validation", "test")
    }
    if not len(data["train"]):
        raise Failure("no_images", Message(gettext_noop("The dataset has no training images.")))
    if not len(data["validation"]):
        data["validation"] = data["test"]
    if not len(data["validation"]):
        text = gettext_noop("There are no validation and no test images: the training has no figures but its loss.")
        events.warning("no_validation", Message(text))
    return data


def starting_point(config: Config, train: ModuleType, events: Events) -> tuple[Path | None, Weights]:
    """The checkpoint to go on from, if any, and the weights to begin with.

    A resumed training takes its network from the checkpoint, and remembers what it once started from.
    """
    events.fence.check()
    checkpoints.tidy(config.run, config.resume)
    checkpoint = checkpoints.newest_complete(config.run / "checkpoints") if config.resume else None
    if checkpoint:
        return checkpoint, Weights(checkpoints.manifest(checkpoint)["weights"]["used"], checkpoint)
    return None, resolve(config, train.MODEL_TYPE, events)


def guards(
    config: Config, used: dict[str, Any], train: ModuleType, labels: Any, checkpoint: Path | None, events: Events
) -> dict[str, Any]:
    """What looks after memory and after sense. A batch is in as many parts as the checkpoint's training had come to, or
    as the runner asks for: it saw the trainer die."""
    batch, figure = used["per_device_train_batch_size"], config.spec.best_metric
    parts = max(config.parts, checkpoints.manifest(checkpoint).get("parts", 1) if checkpoint else 1)
    return {
        "memory": Memory(batch, train.SMALLEST_BATCH, events, parts=parts, most=config.memory_bytes),
        "watch": Watch(events, figure, labels),
        "early_stopping": EarlyStopping(config.early_stopping, figure),
        "hyperparameters": config.hyperparameters,
    }


def choices(config: Config, device: str, model: Any, data: Any, train: ModuleType, weights: Weights) -> dict[str, Any]:
    """What the trainer chose, as the job shows it."""
    size = config.hyperparameters["per_device_train_batch_size"]
    return {
        "device": device,
        "precision": speed.choose_precision(device, data, config.precision),
        "per_device_train_batch_size": size
        or devices.starting_batch_size(model, data, train, device, config.memory_bytes),
        "initial_weights": weights.used,
        "parameters": sum(p.numel() for p in model.parameters()),
        "trainable_parameters": sum(p.numel() for p in model.parameters() if p.requires_grad),
    }


def training_arguments(config: Config, used: dict[str, Any], images: int, train: ModuleType) -> TrainingArguments:
    """The guide's hyperparameters, and what follows from device, data and algorithm."""
    size = used["per_device_train_batch_size"]
    rest = images % size
    steps = math.ceil(images / size) * config.hyperparameters["num_train_epochs"]
    args = arguments(
        {**config.hyperparameters, "per_device_train_batch_size": size},
        output_dir=str(config.run / "checkpoints"),
        seed=config.seed,
        data_seed=config.seed,
        warmup_steps=int(steps * WARM_UP),
        max_grad_norm=train.MAX_GRAD_NORM,
        per_device_eval_batch_size=config.hyperparameters.get("per_device_eval_batch_size", min(size, 4)),
        auto_find_batch_size=config.hyperparameters["per_device_train_batch_size"] == 0,
        dataloader_num_workers=devices.loader_workers(used["device"], config.loader_workers),
        dataloader_pin_memory=used["device"] == "cuda",
        dataloader_drop_last=0 < rest < train.SMALLEST_BATCH and images > size,
        **devices.settings(used["device"], used["precision"]),
    )
    args._n_gpu = min(args.n_gpu, 1)  # one job, one device: a second GPU belongs to another job
    return args


def fit(trainer: JobTrainer, checkpoint: Path | None, stop: StopSignal) -> None:
    """Train from the start or the checkpoint to the last step. Raises Stopped once a checkpoint is saved."""
    if trainer.args.num_train_epochs == 0:  # nothing to train: the weights stay as they are
        trainer.state.max_steps, trainer.state.epoch = 0, 0.0
        return
    if checkpoint:
        state = json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
        trainer.first_step = state["global_step"]
        over = state["global_step"] >= state["max_steps"]
        if over or trainer.early_stopping.is_due(state["log_history"]):
            return trainer.restore(checkpoint)
    try:
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    except Stopped:  # in an evaluation, between two steps
        trainer.save_checkpoint()
        raise
    except EndedEarly:
        trainer.is_in_train = False
        return
    if trainer.state.global_step < trainer.state.max_steps and not trainer.ended_early():
        stop.check()


def keep_best(trainer: JobTrainer, config: Config, labels: Any) -> None:
    """With early stopping the model is that of the epoch that was best on the validation images."""
    folder = trainer.best_checkpoint()
    if folder is None:
        if config.early_stopping and trainer.state.max_steps:
            text = gettext_noop("Early stopping had no validation figure to go by: the last epoch is the model.")
            trainer.events.notice("best_epoch", Message(text))
        return
    restored = checkpoints.step_of(folder) == trainer.state.global_step
    if not restored and checkpoints.is_complete(folder):
        weights = Weights(trainer.weights.used, folder)
        best = trainer.algorithm.build(config.architecture, labels, weights)
        trainer.network.load_state_dict(best.state_dict())
        trainer.restored, restored = True, True
    trainer.early_stopping.tell(trainer.state.log_history, trainer.events, trainer.state.epoch or 0.0, restored)


def final_metrics(trainer: JobTrainer) -> dict[str, float]:
    """The validation figures of the model's weights, names without `eval_` (but for the loss)."""
    if not trainer.restored and not trainer.is_evaluated():
        trainer.evaluate()  # no epoch was trained, or a stop came between the last step and its evaluation
    history = trainer.state.log_history
    line = trainer.early_stopping.best(history) if trainer.restored else None
    figures = {name: value for name, value in (line or trainer.last_evaluation()).items() if name.startswith("eval_")}
    return {name if name == "eval_loss" else name.removeprefix("eval_"): value for name, value in figures.items()}


def final_test(trainer: JobTrainer, test: Any) -> dict[str, float] | None:
    """The test split's figures, measured once, with the final weights; None when there is no such split."""
    if not len(test):
        return None
    trainer.events.phase("testing")
    metrics = {name if name != "loss" else "test_loss": value for name, value in trainer.measure(test).items()}
    trainer.report.show_test(metrics, trainer.state)
    return metrics
