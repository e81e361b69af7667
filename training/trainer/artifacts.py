"""Writes model/: what serving needs, in one piece or not at all."""

from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from training.trainer import checkpoints, room
from training.trainer.fence import Fence


def versions() -> dict[str, str]:
    """The libraries' and the console's own, as far as they are installed as packages."""
    found = {}
    for name, package in (("torch", "torch"), ("transformers", "transformers"), ("console", "easymaker-console")):
        try:
            found[name] = version(package)
        except PackageNotFoundError:
            found[name] = "source"
    return found


def save_model(run: Path, model: PreTrainedModel, description: dict[str, Any], fence: Fence) -> None:
    """model*.tmp/, then renamed: config.json, model.safetensors, model.json. Raises OSError and the libraries' own."""
    partial = run / f"model{fence.attempt}.tmp"  # no two trainers write into one folder
    with suppress(room.NoRoom):  # tried all the same: the estimate is a cautious one
        room.make(run / "checkpoints", room.model_bytes(model))
    model.save_pretrained(partial)
    checkpoints.write_json(partial / "model.json", {**description, "versions": versions()})
    fence.check()
    checkpoints.publish(partial, run / "model")
