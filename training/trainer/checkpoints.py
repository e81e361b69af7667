"""Checkpoints that a killed process cannot leave half-written: written elsewhere, verified, synced, renamed."""

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

KEPT = 3
MANIFEST = "manifest.json"
NEEDED = ("trainer_state.json", "model.safetensors")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync(path: Path) -> None:
    """Put a file, or a folder's list of names, on the disk itself: it survives a power cut from here on."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_json(path: Path, value: Any) -> None:
    """Atomically: a reader sees the old file, the new one or none."""
    partial = path.with_name(path.name + ".tmp")
    partial.write_text(json.dumps(value, ensure_ascii=False, indent=1), encoding="utf-8")
    sync(partial)
    partial.replace(path)
    sync(path.parent)


def publish(partial: Path, final: Path) -> None:
    """Sync every file of `partial` and give the folder its name. An older folder of that name is replaced."""
    for path in partial.rglob("*"):
        sync(path)
    sync(partial)
    if final.exists():
        shutil.rmtree(final)
    partial.replace(final)
    sync(final.parent)


def seal(folder: Path, weights: dict[str, str], parts: int = 1) -> None:
    """Write the manifest that makes the folder verifiable, where the training's first weights came from, and in how
    many parts memory let it train a batch."""
    files = {path.name: {"bytes": path.stat().st_size, "sha256": _sha256(path)} for path in folder.iterdir()}
    (folder / MANIFEST).write_text(json.dumps({"files": files, "weights": weights, "parts": parts}), encoding="utf-8")


def manifest(folder: Path) -> dict[str, Any]:
    contents: dict[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    return contents


def is_complete(folder: Path) -> bool:
    """Whether every file is there, of its size and checksum."""
    try:
        files = manifest(folder)["files"]
    except (OSError, ValueError, KeyError):
        return False  # no manifest, or a torn one: the folder is not whole
    return all(name in files for name in NEEDED) and all(
        (folder / name).is_file()
        and (folder / name).stat().st_size == fact["bytes"]
        and _sha256(folder / name) == fact["sha256"]
        for name, fact in files.items()
    )


def step_of(folder: Path) -> int:
    return int(folder.name.rpartition("-")[2])


def all_checkpoints(folder: Path) -> list[Path]:
    """checkpoint-<step> folders, oldest first."""
    return sorted(folder.glob("checkpoint-*"), key=step_of)


def newest_complete(folder: Path) -> Path | None:
    return next((path for path in reversed(all_checkpoints(folder)) if is_complete(path)), None)


def prune(folder: Path, best: Path | None = None) -> None:
    """Keep the newest, and the one that the model will be made of."""
    for path in all_checkpoints(folder)[:-KEPT]:
        if path != best:
            shutil.rmtree(path)


def tidy(run: Path, resume: bool) -> None:
    """Drop what a killed attempt left half-written; and when nothing is resumed, all that earlier attempts made."""
    leftovers = ["model.tmp", "checkpoints/partial"] + ([] if resume else ["checkpoints", "tensorboard", "model"])
    for name in leftovers:
        if (run / name).exists():
            shutil.rmtree(run / name)
    (run / "checkpoints").mkdir(exist_ok=True)
