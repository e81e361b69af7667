"""Reads the normalised dataset that ingest wrote. See docs/contracts.md."""

import json
from pathlib import Path
from typing import Any

Record = dict[str, Any]


def read_records(dataset: Path, split: str) -> list[Record]:
    """The lines of index/<split>.jsonl; [] when the dataset has no such split."""
    path = dataset / "index" / f"{split}.jsonl"
    if not path.is_file():
        return []
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines if line.strip()]


def read_labels(dataset: Path) -> list[dict[str, Any]]:
    """[{"id": 0, "name": "cat"}, ...]: the position is the model's class index."""
    labels: list[dict[str, Any]] = json.loads((dataset / "labels.json").read_text(encoding="utf-8"))
    return labels


def read_facts(dataset: Path) -> dict[str, Any]:
    """dataset.json: algorithm, images and counts per split, median size."""
    facts: dict[str, Any] = json.loads((dataset / "dataset.json").read_text(encoding="utf-8"))
    return facts
