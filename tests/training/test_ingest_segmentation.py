"""Images, masks and id2lable.json: what is accepted, what is refused, and that the culprit is named."""

import json

import numpy as np
import pytest
from PIL import Image

from tests.corpus import Checked, Files, as_json, checked, encoded, segmentation_files, write_zip

ALGORITHM = "semantic_segmentation"


def check(tmp_path, files: Files, root: str = "") -> Checked:
    return checked(write_zip(tmp_path / "set.zip", files, root), ALGORITHM)


def mask(ids: list[int], size: int = 64, mode: str = "L") -> Image.Image:
    """A mask with these ids, in equal strips."""
    array = np.repeat(np.array(ids), -(-size // len(ids)))[:size]
    array = np.tile(array, (size, 1))
    if mode == "I;16":
        return Image.fromarray(array.astype(np.uint16))
    image = Image.fromarray(array.astype(np.uint8))
    if mode == "P":
        image.putpalette([v for v in range(256) for _ in range(3)])
    return image


def with_mask(image: Image.Image, kind: str = "PNG") -> Files:
    return segmentation_files() | {"train/annotations/0001.png": encoded(image, kind)}


def test_rows_name_image_and_mask_and_labels_keep_their_ids(tmp_path):
    names = {"0": "background", "7": "thing-7", "1": "thing-1", "2": "thing-2"}
    result = check(tmp_path, segmentation_files(train=2, test=1, id2lable=names))
    assert result.layout.labels == [
        {"id": 0, "name": "background"},
        {"id": 1, "name": "thing-1"},
        {"id": 2, "name": "thing-2"},
        {"id": 7, "name": "thing-7"},
    ]
    assert result.layout.counts["train"] == {"background": 2, "thing-1": 2, "thing-2": 2, "thing-7": 0}
    assert result.found("fact") == [("class_unused", "")]
    result.layout.write(result.root, ALGORITHM)
    lines = (result.root / "index" / "train.jsonl").read_text().splitlines()
    assert json.loads(lines[0]) == {"image": "train/images/0000.png", "mask": "train/annotations/0000.png"}


@pytest.mark.parametrize("name", ["test/test.json", "test/train.json"])
def test_both_names_of_the_test_list_are_accepted(tmp_path, name):
    files = segmentation_files(test=2)
    files[name] = files.pop("test/test.json")
    assert check(tmp_path, files).layout.images["test"] == 2


def test_both_spellings_of_id2lable_are_accepted(tmp_path):
    files = segmentation_files()
    files["resources/id2label.json"] = files.pop("resources/id2lable.json")
    assert check(tmp_path, files).layout is not None


def test_what_is_required_is_named_when_it_is_missing(tmp_path):
    files = {name: data for name, data in segmentation_files().items() if name.startswith("train/images")}
    result = check(tmp_path, files)
    assert sorted(result.found()) == [
        ("list_missing", "train/train.json"),
        ("split_missing", ""),
        ("split_missing", ""),
    ]


def test_an_id_that_has_no_name_is_named_with_its_file(tmp_path):
    result = check(tmp_path, with_mask(mask([0, 1, 9, 12])))
    assert result.found() == [("mask_ids", "train/annotations/0001.png")]
    assert "9, 12" in result.text("mask_ids")


def test_255_is_ignored_unless_it_has_a_name(tmp_path):
    result = check(tmp_path, with_mask(mask([0, 255])))
    assert result.found() == []
    assert 255 not in [label["id"] for label in result.layout.labels]
    (tmp_path / "second").mkdir()
    names = {"0": "background", "1": "a", "2": "b", "255": "void"}
    named = with_mask(mask([0, 255])) | {"resources/id2lable.json": as_json(names)}
    assert check(tmp_path / "second", named).layout.counts["train"]["void"] == 1


@pytest.mark.parametrize("mode", ["L", "P", "I;16"])
def test_masks_of_one_number_a_pixel_are_accepted(tmp_path, mode):
    assert check(tmp_path, with_mask(mask([0, 1, 2], mode=mode))).found() == []


def test_a_colour_mask_is_refused(tmp_path):
    result = check(tmp_path, with_mask(mask([0, 1]).convert("RGB")))
    assert result.found() == [("mask_mode", "train/annotations/0001.png")]


def test_a_mask_of_another_size_than_its_image_is_refused(tmp_path):
    result = check(tmp_path, with_mask(mask([0, 1], size=32)))
    assert result.found() == [("mask_size", "train/annotations/0001.png")]
    assert "32 x 32" in result.text("mask_size")
    assert "64 x 64" in result.text("mask_size")


def test_sizes_are_compared_after_exif_rotation(tmp_path):
    """The annotator saw the image upright, so the mask is upright too."""
    exif = Image.Exif()
    exif[0x0112] = 6
    files = segmentation_files()
    files["train/images/0001.png"] = encoded(Image.new("RGB", (60, 40)), "JPEG", exif=exif)
    files["train/annotations/0001.png"] = encoded(Image.new("L", (40, 60)))
    assert check(tmp_path, files).found() == []


def test_a_jpeg_mask_is_told_why_its_ids_are_wrong(tmp_path):
    files = segmentation_files(id2lable={"0": "background", "1": "thing-1", "2": "thing-2", "200": "bright"})
    files["train/annotations/0001.jpg"] = encoded(mask([0, 200, 0, 200, 0]), "JPEG", quality=40)
    rows = [{"image": "images/0001.png", "seg_map": "annotations/0001.jpg"}]
    result = check(tmp_path, files | {"train/train.json": as_json(rows)})
    assert "save masks as PNG" in result.text("mask_ids")


def test_every_unusable_row_of_a_list_is_named(tmp_path):
    rows = [
        {"image": "images/0000.png", "seg_map": "annotations/0000.png"},
        {"image": "images/9.png", "seg_map": "annotations/0001.png"},
        {"image": "../../etc/passwd", "seg_map": "annotations/0001.png"},
        {"image": "images/0002.png"},
        "images/0003.png",
    ]
    result = check(tmp_path, segmentation_files() | {"train/train.json": as_json(rows)})
    assert result.found() == [
        ("file_missing", "train/images/9.png"),
        ("list_path", "train/train.json"),
        ("list_path", "train/train.json"),
        ("list_entry", "train/train.json"),
    ]


@pytest.mark.parametrize("path", ["images/" + "x" * 300 + ".png", "x/" * 3000 + "1.png"], ids=["name", "path"])
def test_a_path_that_is_too_long_for_any_file_is_named(tmp_path, path):
    rows = [{"image": path, "seg_map": "annotations/0000.png"}]
    result = check(tmp_path, segmentation_files() | {"train/train.json": as_json(rows)})
    assert ("list_path", "train/train.json") in result.found()


@pytest.mark.parametrize("name", ["resources/id2lable.json", "train/train.json"])
def test_half_a_surrogate_pair_is_refused_as_json_and_a_whole_one_is_read(tmp_path, name):
    """JSON can spell a letter that no file and no database can hold."""
    half = {
        "resources/id2lable.json": b'{"0": "a", "1": "\\ud83d", "2": "b"}',
        "train/train.json": b'[{"image": "\\udc00"}]',
    }
    assert ("json_invalid", name) in check(tmp_path, segmentation_files() | {name: half[name]}).found()
    (tmp_path / "whole").mkdir()
    whole = {"resources/id2lable.json": b'{"0": "a", "1": "\\ud83d\\ude00", "2": "b"}'}
    assert check(tmp_path / "whole", segmentation_files() | whole).layout.labels[1]["name"] == "\N{GRINNING FACE}"


def test_an_image_that_is_listed_twice_is_used_once(tmp_path):
    row = {"image": "images/0000.png", "seg_map": "annotations/0000.png"}
    result = check(
        tmp_path, segmentation_files() | {"train/train.json": as_json([row, {**row, "image": "./images/0000.png"}])}
    )
    assert result.found("warning") == [("listed_twice", "train/images/0000.png")]
    assert result.layout.images["train"] == 1


def test_backslashes_and_decomposed_letters_in_a_list_are_understood(tmp_path):
    files = segmentation_files()
    files["train/images/é.png"] = files["train/images/0001.png"]
    rows = [{"image": "images\\e\u0301.png", "seg_map": "annotations\\0001.png"}]
    result = check(tmp_path, files | {"train/train.json": as_json(rows)})
    assert result.layout.rows["train"] == [{"image": "train/images/é.png", "mask": "train/annotations/0001.png"}]


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"{", "json_invalid"),
        (b"[" * 200_000, "json_invalid"),
        (b"[]", "json_shape"),
        (b"null", "json_shape"),
        (as_json({"0": "a", "one": "b", "2": "c", "1": "d"}), "label_id"),
        (as_json({"0": "a", "-1": "b", "2": "c", "1": "d"}), "label_id"),
        (as_json({"0": "a", "9" * 5000: "b", "2": "c", "1": "d"}), "label_id"),
        (as_json({"0": "a", "1": "", "2": "c"}), "label_name"),
        (as_json({"0": "a", "1": "x" * 81, "2": "c"}), "label_name"),
        (as_json({"0": "a", "1": "b", "2": "a"}), "label_twice"),
    ],
)
def test_what_is_wrong_with_id2lable_is_said(tmp_path, content, code):
    result = check(tmp_path, segmentation_files() | {"resources/id2lable.json": content})
    assert result.found()[0] == (code, "resources/id2lable.json")
    assert result.layout is None


def test_korean_class_names_are_read_in_utf8_with_bom_and_in_cp949(tmp_path):
    names = json.dumps({"0": "배경", "1": "도로", "2": "하늘"}, ensure_ascii=False)
    for number, raw in enumerate((names.encode("utf-8-sig"), names.encode("cp949"))):
        folder = tmp_path / str(number)
        folder.mkdir()
        result = check(folder, segmentation_files() | {"resources/id2lable.json": raw})
        assert [label["name"] for label in result.layout.labels] == ["배경", "도로", "하늘"]


def test_a_class_that_only_validation_shows_is_a_warning(tmp_path):
    files = segmentation_files(id2lable={"0": "background", "1": "thing-1", "2": "thing-2", "5": "rare"})
    files["validation/annotations/0000.png"] = encoded(mask([0, 5]))
    result = check(tmp_path, files)
    assert result.found("warning") == [("label_not_trained", "validation")]


def test_a_damaged_mask_is_named(tmp_path):
    files = segmentation_files()
    files["validation/annotations/0000.png"] = files["validation/annotations/0000.png"][:-40]
    assert check(tmp_path, files).found() == [("image_damaged", "validation/annotations/0000.png")]
