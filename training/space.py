"""What a project's datasets and trainings hold of the disk, by kind.

Walks the folders one object after another: only numbers are kept, however many files there are.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from training.disk import size_of
from training.models import Dataset, Project, Training

# What a training's folder holds besides checkpoints and TensorBoard; what is not named here is too small to count.
LOGS = ("train.log", "events.jsonl")
EMPTY = 8192  # bytes: a folder and its lock file


@dataclass(frozen=True)
class Part:
    """What one object holds of one kind: "datasets", "uploads", "checkpoints", "tensorboard", "logs" or "models".

    `owner` is the kind of the object ("dataset", "training", ...); `removable`: this part can be deleted by itself.
    """

    kind: str
    owner: str
    id: str
    name: str
    bytes: int
    removable: bool = False


def parts(project: Project) -> Iterator[Part]:
    """Every part of the project's datasets and trainings that holds anything."""
    for dataset in Dataset.objects.filter(project=project).only("name").iterator():
        data = sum(size_of(dataset.folder / name) for name in ("data", "data.tmp"))
        sizes = {"datasets": data, "uploads": max(0, size_of(dataset.folder) - data)}
        for kind, size in sizes.items():
            if size > EMPTY:
                yield Part(kind, "dataset", dataset.pk, dataset.name, size)
    for training in Training.objects.filter(project=project).only("name", "status").iterator():
        ended = training.status not in Training.UNFINISHED
        for kind, size in training_sizes(training).items():
            if size:
                yield Part(kind, "training", training.pk, training.name, size, kind == "checkpoints" and ended)


def training_sizes(training: Training) -> dict[str, int]:
    """Bytes by kind; "models" is the trained model, which a model of the registry is made of."""
    folder = training.folder
    return {
        "checkpoints": sum(size_of(path) for path in training.checkpoints_folder.glob("*")),
        "tensorboard": size_of(folder / "tensorboard"),
        "logs": sum(size_of(folder / name) for name in LOGS),
        "models": size_of(folder / "model"),
    }
