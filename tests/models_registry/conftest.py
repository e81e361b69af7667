import shutil
from pathlib import Path

import pytest

from tests.conftest import People
from tests.exported import dataset_of, trained
from training.models import Dataset, Project, Training


def make_training(project: Project, name: str = "run 1", status: str = "COMPLETE") -> Training:
    dataset, _ = Dataset.objects.get_or_create(
        project=project,
        name="shapes",
        defaults={"algorithm": "image_classification", "status": "READY", "zip_sha256": "ab" * 32},
    )
    return Training.objects.create(
        project=project,
        name=name,
        status=status,
        dataset=dataset,
        dataset_name=dataset.name,
        algorithm="image_classification",
    )


@pytest.fixture
def training(home: Path, project: Project) -> Training:
    """A COMPLETE training. Its files are not there."""
    return make_training(project)


@pytest.fixture
def trained_training(training: Training) -> Training:
    """The same with what a real, tiny training left on the disk, and its dataset."""
    shutil.copytree(trained(training.algorithm), training.folder / "model")
    shutil.copytree(dataset_of(training.algorithm), training.dataset.data_folder)
    return training


@pytest.fixture
def user(people: People):
    return people.editor
