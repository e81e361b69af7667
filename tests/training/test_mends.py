"""Mends: each makes a new version that has the problem no more, and leaves the version before as it was."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from django.core.exceptions import ValidationError
from PIL import Image

from tests.corpus import (
    Files,
    annotation,
    classification_files,
    coco,
    detection_files,
    encoded,
    picture,
    segmentation_files,
    write_zip,
)
from tests.training.test_doctor import VOC, coloured, photo
from training import dataset_files, ingest, services
from training.algorithms.images import open_mask, open_rgb
from training.errors import Conflict
from training.models import Dataset

pytestmark = pytest.mark.django_db
CLASSIFICATION, SEGMENTATION, DETECTION = "image_classification", "semantic_segmentation", "object_detection"


@pytest.fixture
def made(home, project, people, tmp_path_factory):
    """made(files, algorithm) -> a dataset that has been through the ingest."""

    def make(files: Files, algorithm: str = CLASSIFICATION, name: str = "pets", root: str = "") -> Dataset:
        path = write_zip(tmp_path_factory.mktemp("zip") / "a.zip", files, root)
        with path.open("rb") as file:
            row = services.dataset_create(
                project=project, user=people.editor, name=name, algorithm=algorithm, file=file, description="Ours."
            )
        return ingested(row)

    return make


def ingested(dataset: Dataset) -> Dataset:
    ingest.run(dataset.pk)
    dataset.refresh_from_db()
    return dataset


def mended(dataset: Dataset, people, *mends: str) -> Dataset:
    return ingested(services.dataset_mend(dataset=dataset, user=people.editor, mends=list(mends)))


def codes(dataset: Dataset) -> list[str]:
    return [row["code"] for row in dataset.report]


def contents(folder: Path) -> dict[str, str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def turned(number: int = 7) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(photo(number, 48).resize((48, 32)), "JPEG", exif=exif, quality=90)


def test_a_new_version_has_the_mend_and_the_old_one_is_as_it_was(made, people):
    first = made({**classification_files(), "train/cat/turned.jpg": turned()})
    before = contents(first.folder)
    assert services.dataset_mends(first) == ["exif"]
    second = mended(first, people, "exif")
    assert (second.status, second.name, second.version, second.mends) == ("READY", "pets v2", 2, ["exif"])
    assert (second.based_on, second.description, second.source["kind"]) == (first, "Ours.", "mend")
    assert "exif" not in codes(second)
    assert second.images == first.images
    assert contents(first.folder) == before
    kept, changed = "train/cat/0.png", "train/cat/turned.jpg"
    assert (first.data_folder / kept).samefile(second.data_folder / kept)  # a link costs nothing
    assert not (first.data_folder / changed).samefile(second.data_folder / changed)
    assert [event.to_status for event in second.events().order_by("id")] == ["VALIDATING", "READY"]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF"])
@pytest.mark.parametrize("orientation", range(2, 9))
def test_a_turned_image_looks_the_same_when_its_pixels_are_turned(made, people, kind, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    name = f"train/cat/x.{kind.lower()}"
    content = encoded(photo(3, 48).resize((48, 32)), kind, exif=exif)
    first = made({**classification_files(), name: content})
    second = mended(first, people, "exif")
    assert second.status == "READY"
    with Image.open(second.data_folder / name) as image:
        assert image.format == kind
        assert image.getexif().get(0x0112, 1) == 1
    was, now = (np.asarray(open_rgb(d.data_folder / name)).astype(int) for d in (first, second))
    assert was.shape == now.shape
    assert np.abs(was - now).mean() < 4  # grey levels of strong colours; PNG none


def test_copies_and_leaks_are_taken_out_of_train(made, people):
    copies = {"train/cat/copy.png": encoded(picture(0, 1)), "train/dog/leak.png": encoded(picture(1, 100))}
    first = made(classification_files() | copies)
    assert services.dataset_mends(first) == ["leakage_remove", "duplicate_remove"]
    second = mended(first, people, "duplicate_remove", "leakage_remove")
    assert second.counts == {"train": {"cat": 4, "dog": 4}, "validation": {"cat": 2, "dog": 2}}
    assert {"duplicate", "leakage"}.isdisjoint(codes(second))


@pytest.mark.parametrize(("algorithm", "files"), [(SEGMENTATION, segmentation_files()), (DETECTION, detection_files())])
def test_a_copy_goes_with_its_entry_in_the_list(made, people, algorithm, files):
    if algorithm == SEGMENTATION:
        files["train/images/0000.png"] = files["validation/images/0000.png"]
    else:
        files["train/0000.jpg"] = files["validation/0000.jpg"]
    first = made(dict(files), algorithm)
    second = mended(first, people, "leakage_remove")
    assert (second.status, second.images) == ("READY", {"train": 3, "validation": 2})


def test_an_empty_label_folder_is_removed(made, people):
    first = made({**classification_files(), "train/bird/": b"", "validation/bird/notes.txt": b"none yet"})
    second = mended(first, people, "empty_label")
    assert (second.status, codes(first).count("label_empty"), codes(second).count("label_empty")) == ("READY", 2, 0)
    assert not (second.data_folder / "train/bird").exists()


def test_boxes_are_cut_and_those_outside_are_dropped_of_a_dataset_that_was_invalid(made, people):
    boxes = [[50, 50, 30, 30], [100, 100, 5, 5], [5, 5, 0, 3], [5, 5, 20, 20]]
    images = [{"id": n, "file_name": f"{n:04d}.jpg", "width": 64, "height": 64} for n in range(4)]
    items = [annotation(n, n, 1, box) for n, box in enumerate(boxes)]
    files = detection_files() | {"train/_annotations.coco.json": coco(images, items, [{"id": 1, "name": "thing-1"}])}
    first = made(files, DETECTION)
    assert (first.status, services.dataset_mends(first)) == ("INVALID", ["box_clip"])
    assert first.upload_path.exists()
    second = mended(first, people, "box_clip")
    assert (second.status, second.counts["train"]["thing-1"]) == ("READY", 2)
    assert {"box_outside", "box_clipped", "box_empty"}.isdisjoint(codes(second))
    rows = [json.loads(line) for line in (second.data_folder / "index/train.jsonl").read_text().splitlines()]
    assert [row["boxes"] for row in rows] == [[[50, 50, 14, 14]], [], [], [[5, 5, 20, 20]]]
    assert not first.upload_path.exists()  # nobody needs it any more
    assert not second.upload_path.exists()


def test_colours_become_ids(made, people):
    plain = segmentation_files()
    first = made(coloured(dict(plain), VOC), SEGMENTATION)
    assert (first.status, services.dataset_mends(first)) == ("INVALID", ["mask_palette"])
    second = mended(first, people, "mask_palette")
    assert second.status == "READY"
    other = made(plain, SEGMENTATION, name="plain")
    for number in range(4):
        file = f"train/annotations/{number:04d}.png"
        assert (open_mask(second.data_folder / file) == open_mask(other.data_folder / file)).all()


def test_a_nested_root_is_taken_off_and_what_it_hid_is_mended_next(made, people):
    """The zip of an INVALID version goes on to the next, with the mends that it had."""
    first = made(coloured(segmentation_files(), VOC), SEGMENTATION, root="outer/inner/")
    assert (first.status, services.dataset_mends(first)) == ("INVALID", ["nested_root"])
    second = mended(first, people, "nested_root")
    assert (second.status, services.dataset_mends(second)) == ("INVALID", ["mask_palette"])
    third = mended(second, people, "mask_palette")
    assert (third.status, third.name, third.version) == ("READY", "pets v3", 3)
    assert sorted(path.name for path in third.data_folder.iterdir() if path.is_dir()) == [
        "index", "resources", "train", "validation",
    ]  # fmt: skip
    assert services.dataset_versions(first) == [third, second, first] == services.dataset_versions(third)


def test_an_error_that_no_mend_reaches_leaves_no_zip_and_no_mend(made):
    first = made({**classification_files(), "train/cat/x.png": b"x", "train/cat/turned.jpg": turned()})
    assert (first.status, services.dataset_mends(first)) == ("INVALID", [])
    assert not first.upload_path.exists()


def test_the_sweep_keeps_a_zip_that_mends_can_save(made, people):
    first = made(classification_files(), root="outer/inner/")
    dataset_files.sweep()
    assert first.upload_path.exists()
    second = services.dataset_mend(dataset=first, user=people.editor, mends=["nested_root"])
    dataset_files.sweep()
    assert first.upload_path.exists()
    assert ingested(second).status == "READY"
    dataset_files.sweep()
    assert not first.upload_path.exists()


def test_a_mend_goes_on_from_the_start_after_a_kill(made, people, monkeypatch):
    first = made({**classification_files(), "train/cat/turned.jpg": turned()})
    before = contents(first.data_folder)
    second = services.dataset_mend(dataset=first, user=people.editor, mends=["exif"])

    def killed(*_args: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(ingest, "_leave_out_the_rest", killed)
        with pytest.raises(KeyboardInterrupt):
            ingest.run(second.pk)
    assert (second.folder / "data.tmp/train/cat/turned.jpg").exists()
    assert ingested(second).status == "READY"
    assert contents(first.data_folder) == before


def test_a_version_outlives_the_one_that_it_was_made_of(made, people):
    first = made({**classification_files(), "train/cat/turned.jpg": turned()})
    second = services.dataset_mend(dataset=first, user=people.editor, mends=["exif"])
    with pytest.raises(Conflict, match="pets v2"):
        services.dataset_delete(dataset=first, user=people.editor)
    ingested(second)
    files = contents(second.data_folder)
    services.dataset_delete(dataset=first, user=people.editor)
    dataset_files.remove(first.pk)
    second.refresh_from_db()
    assert (second.based_on, contents(second.data_folder)) == (None, files)


@pytest.mark.parametrize("mends", [[], ["box_clip"], ["exif", "nonsense"], "exif", [1], None])
def test_a_mend_that_the_report_does_not_offer_is_refused_by_name(made, people, mends):
    first = made({**classification_files(), "train/cat/turned.jpg": turned()})
    with pytest.raises(ValidationError, match="exif") as refused:
        services.dataset_mend(dataset=first, user=people.editor, mends=mends)
    assert list(refused.value.message_dict) == ["mends"]
    assert Dataset.objects.count() == 1


def test_a_name_is_found_that_fits_and_is_free(made, people):
    name = "n" * 50
    first = made({**classification_files(), "train/cat/turned.jpg": turned()}, name=name)
    made(classification_files(), name="n" * 47 + " v2")
    assert mended(first, people, "exif").name == "n" * 47 + " v3"


def test_pictures_of_what_an_invalid_report_names_are_kept(made):
    first = made({**classification_files(), "train/cat/x.png": b"x", "train/cat/turned.jpg": turned()})
    assert len(list((first.folder / "thumbs").iterdir())) == 1
