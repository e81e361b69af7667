"""What a page shows of a dataset: samples, overlays, boxes; and never a file outside it."""

import io
import json

import numpy as np
import pytest
from PIL import Image

from tests.corpus import ZIPS
from training import ingest, previews, services
from training.algorithms.palette import as_hex, ink, palette
from training.models import Dataset

pytestmark = pytest.mark.django_db


@pytest.fixture
def ready(home, project, people, tmp_path):
    def make(algorithm: str, **options) -> Dataset:
        with ZIPS[algorithm](tmp_path / "a.zip", **options).open("rb") as file:
            dataset = services.dataset_create(
                project=project, user=people.editor, name="shown", algorithm=algorithm, file=file
            )
        ingest.run(dataset.pk)
        dataset.refresh_from_db()
        assert dataset.status == "READY"
        return dataset

    return make


def pixels(content: tuple[bytes, str]) -> np.ndarray:
    """(H, W, 3) integers of a preview."""
    data, kind = content
    assert kind == "image/jpeg"
    return np.asarray(Image.open(io.BytesIO(data))).astype(int)


def test_samples_come_in_pages_with_label_and_size(ready):
    dataset = ready("image_classification", train=3)
    first = previews.samples(dataset, "train", page=1, per_page=4)
    assert first[0] == {"image": "train/cat/0.png", "labels": ["cat"], "objects": None, "size": (32, 32)}
    assert [row["labels"] for row in first] == [["cat"], ["cat"], ["cat"], ["dog"]]
    assert len(previews.samples(dataset, "train", page=2, per_page=4)) == 2
    assert previews.samples(dataset, "train", page=3, per_page=4) == []
    assert previews.samples(dataset, "test") == []
    assert previews.samples(dataset, "../../x") == []


def test_samples_name_the_classes_of_masks_and_boxes(ready):
    row = previews.samples(ready("object_detection"), "train")[0]
    assert (row["labels"], row["objects"], row["size"]) == (["thing-1", "thing-2"], 2, (64, 64))


def test_a_mask_is_laid_over_the_image_in_the_colours_of_the_palette(ready):
    dataset = ready("semantic_segmentation")
    sample = previews.samples(dataset, "train")[0]
    assert sample["labels"] == ["background", "thing-1", "thing-2"]
    plain = pixels(previews.image(dataset, sample["image"]))
    laid = pixels(previews.image(dataset, sample["image"], overlay=True))
    corner = plain[-1, -1] * (1 - previews.OPACITY) + np.array(palette(3)[0]) * previews.OPACITY
    assert np.abs(laid[-1, -1] - corner).max() < 25  # JPEG is not exact


def test_boxes_are_drawn_at_the_scale_of_the_preview(ready):
    dataset = ready("object_detection", size=640)
    plain = pixels(previews.image(dataset, "train/0000.jpg"))
    drawn = pixels(previews.image(dataset, "train/0000.jpg", overlay=True))
    assert plain.shape == drawn.shape == (320, 320, 3)
    row = json.loads((dataset.data_folder / "index" / "train.jsonl").read_text().splitlines()[0])
    x, y, width, height = row["boxes"][0]
    changed = np.abs(plain - drawn).max(axis=2) > 60
    edge = changed[int((y + height) / 2) - 1, int(x / 2) + 4 : int((x + width) / 2) - 4]
    assert edge.mean() > 0.9  # the lower edge of the box
    assert changed.mean() < 0.3


def test_a_preview_is_no_larger_than_asked_and_never_enlarged(ready):
    dataset = ready("image_classification")
    assert pixels(previews.image(dataset, "train/cat/0.png", side=16)).shape == (16, 16, 3)
    assert pixels(previews.image(dataset, "train/cat/0.png", side=500)).shape == (32, 32, 3)


@pytest.mark.parametrize(
    "path",
    [
        "../upload.zip",
        "../../../console.sqlite3",
        "/etc/passwd",
        "train",
        "train/cat/none.png",
        "labels.json",
        "",
        "a\0b",
        "x" * 5000,
    ],
)
def test_anything_but_an_image_of_the_dataset_is_not_found(ready, path):
    with pytest.raises(FileNotFoundError):
        previews.image(ready("image_classification"), path)


def test_an_image_of_another_dataset_is_not_found(ready, home):
    dataset = ready("image_classification")
    secret = home / "datasets" / "other" / "data" / "secret.png"
    secret.parent.mkdir(parents=True)
    Image.new("RGB", (4, 4)).save(secret)
    with pytest.raises(FileNotFoundError):
        previews.image(dataset, "../../other/data/secret.png")


def test_colours_are_all_different_and_stay_the_same_when_classes_are_added():
    colours = palette(150)
    assert len(set(colours)) == 150
    assert palette(5) == colours[:5]
    assert as_hex((230, 159, 0)) == "#e69f00"
    assert ink((240, 228, 66)) == (0, 0, 0)
    assert ink((0, 0, 120)) == (255, 255, 255)
