"""The generated sample datasets: learnable, small, the same each time, and accepted by the ordinary ingest."""

import json

import numpy as np
import pytest
from django.core.exceptions import ValidationError

from training import ingest, samples, services
from training.algorithms import PACKAGES
from training.algorithms.images import open_mask, open_rgb
from training.models import Dataset

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("algorithm", PACKAGES)
def test_a_sample_becomes_ready_without_errors_or_warnings(home, project, people, algorithm):
    dataset = services.dataset_create_sample(project=project, user=people.editor, algorithm=algorithm)
    ingest.run(dataset.pk)
    dataset.refresh_from_db()
    assert dataset.status == "READY"
    assert [problem for problem in dataset.report if problem["level"] != "fact"] == []
    assert 60 <= sum(dataset.images.values()) <= 120
    assert set(dataset.images) == {"train", "validation", "test"}
    assert min(min(counts.values()) for counts in dataset.counts.values()) >= 4  # every class in every split
    assert list((home / "incoming").iterdir()) == []


@pytest.mark.parametrize("algorithm", PACKAGES)
def test_a_sample_is_the_same_each_time(tmp_path, algorithm):
    for name in ("one", "two"):
        samples.write(algorithm, tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert (tmp_path / "one").stat().st_size < 5_000_000


def test_a_second_sample_gets_a_name_of_its_own(home, project, people):
    values = {"project": project, "user": people.editor, "algorithm": "image_classification"}
    names = [services.dataset_create_sample(**values).name for _ in range(3)]
    assert names == ["Image Classification sample", "Image Classification sample 2", "Image Classification sample 3"]
    assert services.dataset_create_sample(**values, name="shapes").name == "shapes"


def test_an_unknown_algorithm_is_refused(home, project, people):
    with pytest.raises(ValidationError, match="algorithm"):
        services.dataset_create_sample(project=project, user=people.editor, algorithm="poetry")
    assert not Dataset.objects.exists()


def test_masks_and_boxes_fit_the_shapes(home, project, people):
    """Inside the mask of a class the image has that class's colour; a box touches the shape on all sides."""
    made = services.dataset_create_sample(project=project, user=people.editor, algorithm="semantic_segmentation")
    ingest.run(made.pk)
    row = json.loads((made.data_folder / "index" / "train.jsonl").read_text().splitlines()[0])
    pixels = np.asarray(open_rgb(made.data_folder / row["image"])).astype(int)
    ids = open_mask(made.data_folder / row["mask"])
    for label, colour in enumerate(samples.COLOURS, 1):
        if (ids == label).any():
            assert np.abs(np.median(pixels[ids == label], axis=0) - colour).max() <= 25
