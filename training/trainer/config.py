"""The run folder's config.json, checked: the trainer refuses what form and API refuse, by the same specification."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

from training import algorithms
from training.algorithms.base import Algorithm, Message, gettext_noop
from training.trainer.failures import Failure


@dataclass(frozen=True)
class Config:
    run: Path
    spec: Algorithm
    dataset: Path
    hyperparameters: Mapping[str, Any]
    initial_weights: str
    weights_folder: str
    pretrained_folder: str
    download_seconds: float
    architecture: Mapping[str, Any]
    device: str
    precision: str
    loader_workers: int
    seed: int
    resume: bool
    early_stopping: int
    parts: int
    memory_bytes: int

    @classmethod
    def read(cls, run: Path) -> "Config":
        """Raises Failure for an unknown algorithm, a wrong hyperparameter or a dataset that is not there."""
        given = json.loads((run / "config.json").read_text(encoding="utf-8"))
        if given["algorithm"] not in algorithms.PACKAGES:
            raise Failure(
                "bad_config",
                Message(gettext_noop("There is no algorithm %(name)s."), {"name": str(given["algorithm"])}),
            )
        spec = algorithms.get(given["algorithm"])
        hyperparameters, errors = spec.clean(given.get("hyperparameters"))
        if errors:
            raise Failure("bad_config", reduce(_and, errors.values()))
        dataset = Path(given["dataset"])
        if not (dataset / "dataset.json").is_file():
            raise Failure("no_dataset", Message(gettext_noop("The dataset's files are no longer there.")))
        return cls(
            run=run,
            spec=spec,
            dataset=dataset,
            hyperparameters=hyperparameters,
            initial_weights=given.get("initial_weights", "auto"),
            weights_folder=given.get("weights_folder", ""),
            pretrained_folder=given.get("pretrained_folder", ""),
            download_seconds=given.get("download_seconds", 120),
            architecture=given.get("architecture") or {},
            device=given.get("device", "auto"),
            precision=given.get("precision", "auto"),
            loader_workers=given.get("loader_workers", -1),
            seed=given.get("seed", 42),
            resume=given.get("resume", False),
            early_stopping=given.get("early_stopping", 0),
            parts=given.get("gradient_accumulation_steps", 1),
            memory_bytes=given.get("memory_bytes", 0),
        )


def _and(one: Message, other: Message) -> Message:
    """Both sentences, each translated by itself when they are shown."""
    return Message("%(one)s %(other)s", {"one": one, "other": other})
