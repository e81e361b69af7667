"""The run folder as the runner sees it: config in; outcome, failure, checkpoints out (docs/contracts.md)."""

import json
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from django.conf import settings

from training.algorithms.base import Message
from training.models import Training
from training.processes import CLOCK_TOLERANCE_SECONDS, ProcessId
from training.trainer.checkpoints import newest_complete, step_of


def prepare(training: Training, remaining_seconds: float, attempt: str) -> int:
    """Make the folder ready for another attempt, of that name, and write config.json. -> the step it goes on from.

    Raises OSError (a full disk, for one) and json.JSONDecodeError for a damaged ARCHITECTURES_FILE.
    """
    folder = training.folder
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "outcome.json").unlink(missing_ok=True)  # an earlier attempt's
    remove_temporary(training)
    _renew_events(folder / "events.jsonl")
    newest = newest_complete(training.checkpoints_folder)
    config = _config(training, newest is not None, remaining_seconds)
    write_json(folder / "config.json", config | {"attempt": attempt})
    with training.log_path.open("a", encoding="utf-8") as log:
        how = f"goes on from step {step_of(newest)}" if newest else "starts"
        log.write(f"----- {time.strftime('%Y-%m-%d %H:%M:%S %z')} the training {how} -----\n")
    return step_of(newest) if newest else 0


def _config(training: Training, resume: bool, remaining_seconds: float) -> dict[str, Any]:
    assert training.dataset is not None
    home = Path(settings.CONSOLE_HOME)
    return {
        "algorithm": training.algorithm,
        "dataset": str(training.dataset.data_folder),
        "hyperparameters": training.hyperparameters,
        "initial_weights": training.checkpoint or training.initial_weights,
        "weights_folder": str(home / training.weights_folder) if training.weights_folder else "",
        "pretrained_folder": settings.PRETRAINED_FOLDER,
        "download_seconds": settings.DOWNLOAD_SECONDS,
        "architecture": _architecture(training.algorithm),
        "device": training.device,
        "precision": settings.TRAINING_PRECISION,
        "early_stopping": training.early_stopping,
        "gradient_accumulation_steps": training.settings_used.get("gradient_accumulation_steps", 1),
        "memory_bytes": settings.TRAINER_MEMORY_BYTES,
        "loader_workers": settings.LOADER_WORKERS,
        "seed": 42,
        "resume": resume,
        "deadline_seconds": max(1, round(remaining_seconds)),
    }


def _architecture(algorithm: str) -> dict[str, Any]:
    """What ARCHITECTURES_FILE changes about the network of this algorithm; normally nothing."""
    if not settings.ARCHITECTURES_FILE:
        return {}
    changes = json.loads(Path(settings.ARCHITECTURES_FILE).read_text(encoding="utf-8"))
    return dict(changes.get(algorithm, {}))


def fence(training: Training) -> None:
    """From here on a trainer that began before writes nothing more: see training/trainer/fence.py.

    It may live on another host, where nobody can end it.
    """
    path = training.folder / "config.json"
    if path.exists():
        config = json.loads(path.read_text(encoding="utf-8"))
        write_json(path, config | {"attempt": secrets.token_hex(8)})


def write_json(path: Path, value: Any) -> None:
    """Atomically: a reader sees the old file or the whole new one."""
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    with temporary.open("w", encoding="utf-8") as file:
        json.dump(value, file, ensure_ascii=False)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def outcome(training: Training) -> dict[str, Any] | None:
    """outcome.json of the newest attempt: {"outcome", "exit_code"}; None when the trainer wrote none."""
    try:
        found: dict[str, Any] = json.loads((training.folder / "outcome.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return found


def model_complete(training: Training) -> bool:
    """The trainer renames model.tmp/ to model/ when every file of it is on the disk."""
    return (training.folder / "model" / "model.json").is_file()


def failure(training: Training, trainer: ProcessId | None) -> Message | None:
    """The reason that this trainer itself gave for its failure, if it did."""
    since = trainer.started - CLOCK_TOLERANCE_SECONDS if trainer else 0.0
    found = None
    for event in events(training.folder / "events.jsonl"):
        if event["type"] == "failure" and event["t"] >= since:
            found = Message.from_json(event)
    return found


def events(path: Path) -> Iterator[dict[str, Any]]:
    """Every complete line of events.jsonl that can be read: relay.py has reported the others."""
    if not path.exists():
        return
    with path.open("rb") as file:
        for line in file:
            with suppress(ValueError):
                yield json.loads(line)


def last_sign(training: Training) -> float:
    """When the trainer last wrote an event, in unix seconds; 0 when it never did."""
    path = training.folder / "events.jsonl"
    return path.stat().st_mtime if path.exists() else 0.0


def remove_temporary(training: Training) -> None:
    """Remove what a trainer that was killed had half written. Only while no trainer of this folder runs."""
    for path in [*training.folder.glob("*.tmp"), training.checkpoints_folder / "partial"]:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _renew_events(path: Path) -> None:
    """The same events in a new file: what a displaced trainer still writes goes into the old one, which is gone.

    The line that a killed trainer did not finish is left out, so that the next event does not run into it.
    """
    if not path.exists():
        return
    content = path.read_bytes()
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    with temporary.open("wb") as file:
        file.write(content[: content.rfind(b"\n") + 1])
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
