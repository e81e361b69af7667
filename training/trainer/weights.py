"""Where a training's first weights come from: one of the project's models, the pretrained ones, or chance."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import try_to_load_from_cache

from training.algorithms.base import Message, Pretrained, gettext_noop
from training.trainer.config import Config
from training.trainer.download import WEIGHTS
from training.trainer.events import Events
from training.trainer.failures import Failure


@dataclass(frozen=True)
class Weights:
    """`used` is what happened: "scratch", "pretrained" or "model". `folder`: the files to load, None for chance."""

    used: str
    folder: Path | None = None

    def as_json(self) -> dict[str, str]:
        return {"used": self.used}


class Unavailable(Exception):
    """The weights cannot be had; `message` says why."""

    def __init__(self, text: str, **params: Any) -> None:
        self.message = Message(text, params)
        super().__init__(str(self.message))


def is_complete(folder: Path) -> bool:
    """Whether the folder holds a Hugging Face model."""
    return (folder / "config.json").is_file() and any((folder / name).is_file() for name in WEIGHTS)


def resolve(config: Config, model_type: str, events: Events) -> Weights:
    """Decide, fetch when needed, and check that the files are of this architecture.

    `auto` falls back to scratch with a warning event that says why. Raises Failure when what was asked for
    cannot be had.
    """
    if config.initial_weights == "scratch":
        return Weights("scratch")
    if config.initial_weights not in ("auto", "pretrained"):
        return _own_model(Path(config.weights_folder), model_type)
    try:
        folder = _pretrained(config)
        _check_type(folder, model_type)
        return Weights("pretrained", folder)
    except Unavailable as reason:
        names = {"weights": config.spec.pretrained.repository, "reason": reason.message}
        if config.initial_weights == "pretrained":
            text = gettext_noop("The pretrained weights %(weights)s cannot be had: %(reason)s")
            raise Failure("no_pretrained_weights", Message(text, names)) from reason
        text = gettext_noop(
            "Training starts from scratch, because the pretrained weights %(weights)s cannot be had: %(reason)s"
        )
        events.warning("from_scratch", Message(text, names))
        return Weights("scratch")


def _own_model(folder: Path, model_type: str) -> Weights:
    try:
        if not is_complete(folder):
            raise Unavailable(gettext_noop("%(folder)s has no complete model in it."), folder=folder.name)
        _check_type(folder, model_type)
    except Unavailable as reason:
        text = gettext_noop("The weights to start from cannot be used: %(reason)s")
        raise Failure("no_weights", Message(text, {"reason": reason.message})) from reason
    return Weights("model", folder)


def _check_type(folder: Path, model_type: str) -> None:
    found = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("model_type")
    if found != model_type:
        text = gettext_noop("%(folder)s is a %(found)s model, not %(wanted)s.")
        raise Unavailable(text, folder=folder.name, found=found, wanted=model_type)


def _pretrained(config: Config) -> Path:
    """The site's folder, else the local cache, else a download within its time limit."""
    pretrained = config.spec.pretrained
    if config.pretrained_folder:
        folder = Path(config.pretrained_folder) / pretrained.folder
        if is_complete(folder):
            return folder
    cached = _cached(pretrained)
    if cached:
        return cached
    return _download(pretrained, config.download_seconds)


def _cached(pretrained: Pretrained) -> Path | None:
    where = {"repo_id": pretrained.repository, "revision": pretrained.revision}
    found = [try_to_load_from_cache(filename=name, **where) for name in ("config.json", *WEIGHTS)]
    folder = Path(found[0]).parent if isinstance(found[0], str) else None
    return folder if folder and is_complete(folder) else None


def _download(pretrained: Pretrained, seconds: float) -> Path:
    """Raises Unavailable when there is no network, no such model, or no time left."""
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        raise Unavailable(gettext_noop("HF_HUB_OFFLINE is set, and they are not in the local cache."))
    command = [sys.executable, "-m", "training.trainer.download", pretrained.repository, pretrained.revision]
    timeouts = {"HF_HUB_ETAG_TIMEOUT": "10", "HF_HUB_DOWNLOAD_TIMEOUT": "10", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    try:
        done = subprocess.run(
            command, env={**timeouts, **os.environ}, capture_output=True, text=True, timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired as error:
        text = gettext_noop("The download took longer than %(seconds)s seconds.")
        raise Unavailable(text, seconds=f"{seconds:g}") from error
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines()
        last = lines[-1] if lines else str(done.returncode)
        raise Unavailable(gettext_noop("The download failed (%(error)s)."), error=last)
    return Path(done.stdout.strip().splitlines()[-1])
