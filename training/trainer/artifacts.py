"""Writes model/: what serving needs, in one piece or not at all."""

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from training.trainer import checkpoints


def versions() -> dict[str, str]:
    """The libraries' and the console's own, as far as they are installed as packages."""
    found = {}
    for name, package in (("torch", "torch"), ("transformers", "transformers"), ("console", "easymaker-console")):
        try:
            found[name] = version(package)
        except PackageNotFoundError:
            found[name] = "source"
    return found


def save_model(run: Path, model: PreTrainedModel, description: dict[str, Any]) -> None:
    """model.tmp/, then renamed: config.json, model.safetensors, model.json."""
    partial = run / "model.tmp"
    model.save_pretrained(partial)
    checkpoints.write_json(partial / "model.json", {**description, "versions": versions()})
    checkpoints.publish(partial, run / "model")
