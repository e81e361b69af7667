"""Images of a data set to try a stage with: of a split that the model was not trained on."""

import json
from pathlib import Path

from training.models import Dataset

SPLITS = ("test", "validation")
SHOWN = 8


def paths(dataset: Dataset | None, count: int = SHOWN) -> list[str]:
    """Up to `count` images of the test split, else of the validation split, spread over it: of many classes.

    Paths relative to the data folder; [] when the data set has been deleted.
    """
    listed = _listed(dataset)
    stride = max(1, len(listed) // count)
    return listed[::stride][:count]


def file(dataset: Dataset | None, path: str) -> Path | None:
    """The file of one of those splits' images, None for anything else."""
    return dataset.data_folder / path if dataset and path in set(_listed(dataset)) else None


def _listed(dataset: Dataset | None) -> list[str]:
    for split in SPLITS if dataset else ():
        index = dataset.data_folder / "index" / f"{split}.jsonl" if dataset else Path()
        if index.is_file():
            with index.open(encoding="utf-8") as lines:
                found = [json.loads(line)["image"] for line in lines]
            if found:
                return found
    return []
