"""Whether the engine answers what eager PyTorch answers, image by image."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.serving_candidates import Candidate
from benchmarks.serving_cases import Case, request_body
from benchmarks.serving_load import load

PIXELS = 1  # by which a box may differ
SHARE = 0.999  # of a mask's pixels that must be equal
PARAMETERS: dict[str, dict[str, Any]] = {"object_detection": {"threshold": 0.0}}  # random weights are sure of nothing


def equal_share(eager: Candidate, engine: Candidate, case: Case, photos: list[bytes], folder: Path) -> float:
    """The share of the photos that are answered alike: labels in the same order; masks and boxes within the limits."""
    equal = 0
    for number, image in enumerate(photos):
        request = {**json.loads(request_body(image)), "parameters": PARAMETERS.get(case.algorithm, {})}
        file = folder / f"exactness-{number}.json"
        file.write_text(json.dumps(request))
        with eager.running():
            expected = eager.ask(str(file))
        with engine.running():
            [given] = load(engine.address, [file.read_bytes()]).answers
        equal += is_equal(case.algorithm, json.loads(given), expected)
    return equal / len(photos)


def is_equal(algorithm: str, given: Any, expected: Any) -> bool:
    if algorithm == "image_classification":
        return [entry["label"] for entry in given] == [entry["label"] for entry in expected]
    if algorithm == "semantic_segmentation":
        ours, theirs = np.array(given["predictions"]), np.array(expected["predictions"])
        return bool((ours == theirs).mean() >= SHARE)
    ours, theirs = _boxes(given["predictions"][0]), _boxes(expected["predictions"][0])
    if len(ours) != len(theirs):
        return False
    distances = np.abs(ours[:, None] - theirs[None]).max(axis=2)  # boxes of nearly equal scores may change places
    return bool((distances.min(axis=1) <= PIXELS).all() and (distances.min(axis=0) <= PIXELS).all())


def _boxes(found: list[dict[str, dict[str, int]]]) -> np.ndarray:
    """(n, 4): a box of another class is ten thousand pixels away."""
    labels = {label: 10_000 * (1 + int(label.split()[-1])) for entry in found for label in entry}
    rows = [
        [labels[label] + box[name] for name in ("xmin", "ymin", "xmax", "ymax")]
        for entry in found
        for label, box in entry.items()
    ]
    return np.array(rows, dtype=np.float64).reshape(-1, 4)
