"""One training, from top to bottom: settings, weights, data, model, training, evaluation, test, model files."""

import json
from pathlib import Path
from typing import Any

from transformers import set_seed

from training import algorithms
from training.algorithms.base import Message, gettext_noop
from training.trainer import checkpoints, devices
from training.trainer.artifacts import save_model
from training.trainer.config import Config
from training.trainer.events import Events
from training.trainer.failures import Failure
from training.trainer.job_trainer import JobTrainer, arguments, clear_partial
from training.trainer.records import read_facts, read_labels
from training.trainer.reporting import Report, TensorBoard
from training.trainer.stop import Stopped, StopSignal
from training.trainer.weights import Weights, resolve


def run(config: Config, events: Events, stop: StopSignal) -> None:
    """Train, and leave model/ and a `result` event. Raises Failure, Stopped, or whatever went wrong."""
    events.phase("preparing")
    train = algorithms.part(config.spec.key, "train")
    predict = algorithms.part(config.spec.key, "predict")
    labels, facts = read_labels(config.dataset), read_facts(config.dataset)
    preprocessing = predict.preprocessing(config.hyperparameters, facts)
    set_seed(config.seed)

    clear_partial(config.run / "checkpoints")
    checkpoint = checkpoints.newest_complete(config.run / "checkpoints") if config.resume else None
    weights = _weights_of(checkpoint) if checkpoint else resolve(config, train.MODEL_TYPE, events)
    model = train.build(config.architecture, labels, weights)

    def data(split: str, seed: int | None = None) -> Any:
        return train.Data(config.dataset, split, preprocessing, labels, seed)

    training, validation, test = data("train", config.seed), data("validation") or data("test"), data("test")
    used = _settings(config, model, training, train, weights)
    events.setting(**used)
    trainer = JobTrainer(
        algorithm=train,
        make_evaluator=lambda: train.Evaluator(labels, preprocessing),
        weights=weights,
        events=events,
        report=Report(events, TensorBoard(config.run)),
        stop=stop,
        model=model,
        args=_arguments(config, used, len(training), train),
        train_dataset=training,
        eval_dataset=validation,
        data_collator=train.collate,
    )

    stop.hold()
    events.phase("training")
    fit(trainer, checkpoint, stop)
    metrics = final_metrics(trainer)
    test_metrics = final_test(trainer, test) if len(test) else None

    events.phase("saving")
    description = {
        "algorithm": config.spec.key,
        "labels": labels,
        "preprocessing": preprocessing,
        "threshold": config.hyperparameters.get("threshold"),
        "hyperparameters": dict(config.hyperparameters),
        "metrics": metrics,
        "test_metrics": test_metrics,
        "settings": {**used, "per_device_train_batch_size": trainer._train_batch_size},
    }
    save_model(config.run, model, description)
    events.emit("result", metrics=metrics, test_metrics=test_metrics)
    trainer.report.board.close()


def _weights_of(checkpoint: Path) -> Weights:
    """A resumed training takes its network from the checkpoint, and remembers what it once started from."""
    return Weights(checkpoints.manifest(checkpoint)["weights"]["used"], checkpoint)


def _settings(config: Config, model: Any, training: Any, train: Any, weights: Weights) -> dict[str, Any]:
    """What the trainer chose, as the job shows it."""
    if not len(training):
        raise Failure("no_images", Message(gettext_noop("The dataset has no training images.")))
    device = devices.choose_device(config.device)
    size = config.hyperparameters["per_device_train_batch_size"]
    return {
        "device": device,
        "precision": devices.choose_precision(device),
        "per_device_train_batch_size": size or devices.starting_batch_size(model, training, train, device),
        "initial_weights": weights.used,
        "parameters": sum(p.numel() for p in model.parameters()),
        "trainable_parameters": sum(p.numel() for p in model.parameters() if p.requires_grad),
    }


def _arguments(config: Config, used: dict[str, Any], images: int, train: Any) -> Any:
    size = used["per_device_train_batch_size"]
    args = arguments(
        {**config.hyperparameters, "per_device_train_batch_size": size},
        output_dir=str(config.run / "checkpoints"),
        seed=config.seed,
        data_seed=config.seed,
        max_grad_norm=train.MAX_GRAD_NORM,
        per_device_eval_batch_size=config.hyperparameters.get("per_device_eval_batch_size", min(size, 4)),
        auto_find_batch_size=config.hyperparameters["per_device_train_batch_size"] == 0,
        dataloader_num_workers=devices.loader_workers(used["device"]),
        dataloader_pin_memory=used["device"] == "cuda",
        dataloader_drop_last=images > size and images % size < train.SMALLEST_BATCH and images % size > 0,
        **devices.settings(used["device"], used["precision"]),
    )
    args._n_gpu = min(args.n_gpu, 1)  # one job, one device: a second GPU belongs to another job
    return args


def fit(trainer: JobTrainer, checkpoint: Path | None, stop: StopSignal) -> None:
    """Train from the start or the checkpoint to the last step. Raises Stopped once a checkpoint is saved."""
    if trainer.args.num_train_epochs == 0:
        trainer.state.max_steps = trainer.state.epoch = 0  # nothing to train: the weights as they are
        return
    if checkpoint:
        state = json.loads((checkpoint / "trainer_state.json").read_text())
        trainer.first_step = state["global_step"]
        if state["global_step"] >= state["max_steps"]:
            return trainer.restore(checkpoint)
    try:
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    except Stopped:  # in an evaluation, between two steps
        trainer._save_checkpoint(trainer.model)
        raise
    if trainer.state.global_step < trainer.state.max_steps:
        stop.check()


def final_metrics(trainer: JobTrainer) -> dict[str, float]:
    """The validation figures of the final weights, names without `eval_` (but for the loss)."""
    if not trainer.is_evaluated():
        trainer.evaluate()
    figures = {name: value for name, value in trainer.last_evaluation().items() if name.startswith("eval_")}
    return {name if name == "eval_loss" else name.removeprefix("eval_"): value for name, value in figures.items()}


def final_test(trainer: JobTrainer, test: Any) -> dict[str, float]:
    """The test figures: measured once, with the final weights."""
    trainer.events.phase("testing")
    metrics = trainer.measure(test)
    values = {f"test_{name}": value for name, value in metrics.items()}
    print({name: float(f"{value:.6g}") for name, value in values.items()}, flush=True)
    trainer.report.board.add(values, trainer.state.global_step)
    return {"test_loss": metrics.pop("loss"), **metrics}
