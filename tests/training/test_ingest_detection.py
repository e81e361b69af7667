"""COCO: what is accepted, what is refused, and that the culprit is named."""

import json
from typing import Any

import pytest
from PIL import Image

from tests.corpus import Checked, Files, annotation, checked, coco, detection_files, encoded, write_zip

ALGORITHM = "object_detection"
TRAIN = "train/_annotations.coco.json"


def check(tmp_path, files: Files) -> Checked:
    return checked(write_zip(tmp_path / "set.zip", files), ALGORITHM)


def changed(files: Files, split: str = "train", **parts: Any) -> Files:
    """`files` with keys of one split's COCO file replaced; None removes a key."""
    name = f"{split}/_annotations.coco.json"
    content = json.loads(files[name]) | parts
    return {**files, name: json.dumps({key: value for key, value in content.items() if value is not None}).encode()}


def with_boxes(*annotations: dict[str, Any]) -> Files:
    """The first image of train (64 x 64) has these boxes, the second one of the other class, the others none."""
    return changed(detection_files(), annotations=[*annotations, annotation(100, 1, 2, [1, 1, 9, 9])])


def test_the_unused_category_is_a_fact_and_class_indices_are_positions(tmp_path):
    result = check(tmp_path, detection_files(train=2))
    assert result.layout.labels == [{"id": 1, "name": "thing-1"}, {"id": 2, "name": "thing-2"}]
    assert result.layout.rows["train"][0]["labels"] == [0, 1]
    assert result.layout.counts["train"] == {"thing-1": 2, "thing-2": 2}
    assert result.found("fact") == [("class_unused", "")]


def test_a_row_has_everything_that_training_needs(tmp_path):
    box = annotation(0, 0, 1, [10, 20, 30, 5.5], area=90, iscrowd=1)
    row = check(tmp_path, with_boxes(box)).layout.rows["train"][0]
    assert row == {
        "image": "train/0000.jpg",
        "image_id": 0,
        "width": 64,
        "height": 64,
        "boxes": [[10, 20, 30, 5.5]],
        "labels": [0],
        "area": [90],
        "iscrowd": [1],
    }


def test_ids_that_start_at_one_with_gaps_are_mapped(tmp_path):
    categories = [{"id": 17, "name": "dog"}, {"id": 3, "name": "cat"}, {"id": 90, "name": "unused"}]
    boxes = [annotation(5, 40, 17, [0, 0, 9, 9]), annotation(9, 7, 3, [1, 1, 9, 9])]
    images = [{"id": 40, "file_name": "0001.jpg"}, {"id": 7, "file_name": "0000.jpg"}]
    files = changed(detection_files(validation=0), annotations=boxes, images=images, categories=categories)
    layout = check(tmp_path, files).layout
    assert layout.labels == [{"id": 3, "name": "cat"}, {"id": 17, "name": "dog"}]
    assert {row["image_id"]: row["labels"] for row in layout.rows["train"]} == {40: [1], 7: [0]}


def test_without_annotations_train_is_refused_and_another_split_is_left_out(tmp_path):
    result = check(tmp_path, changed(detection_files(), annotations=None))
    assert result.found() == [("coco_key", TRAIN)]
    assert "“annotations”" in result.text("coco_key")
    (tmp_path / "second").mkdir()
    result = check(tmp_path / "second", changed(detection_files(test=2), "validation", annotations=None))
    assert result.found("error") == []
    assert result.found("warning")[0] == ("split_left_out", "validation/_annotations.coco.json")
    assert result.layout.rows["validation"] == result.layout.rows["test"]


def test_without_validation_the_test_split_serves_as_validation(tmp_path):
    result = check(tmp_path, detection_files(validation=0, test=3))
    assert result.layout.images == {"train": 4, "test": 3, "validation": 3}
    assert result.found("warning") == [("test_is_validation", "")]


def test_train_alone_is_enough_but_said_to_be_unmeasured(tmp_path):
    result = check(tmp_path, detection_files(validation=0))
    assert result.layout.images == {"train": 4}
    assert result.found("warning") == [("no_validation", "")]


@pytest.mark.parametrize("box", [[64, 0, 5, 5], [-9, 10, 5, 5], [10, 200, 5, 5]])
def test_a_box_outside_its_image_is_an_error_that_names_image_and_annotation(tmp_path, box):
    result = check(tmp_path, with_boxes(annotation(31, 0, 1, box)))
    assert result.found() == [("box_outside", "train/0000.jpg")]
    assert "annotation 31" in result.text("box_outside")


def test_a_box_that_leaves_its_image_is_cut_with_a_warning(tmp_path):
    result = check(tmp_path, with_boxes(annotation(0, 0, 1, [-4, 50, 20, 30])))
    assert result.found("warning") == [("box_clipped", "train/0000.jpg")]
    assert result.layout.rows["train"][0]["boxes"] == [[0, 50, 16, 14]]
    assert result.layout.rows["train"][0]["area"] == [16 * 14]


def test_a_box_that_leaves_its_image_by_rounding_is_cut_without_a_word(tmp_path):
    result = check(tmp_path, with_boxes(annotation(0, 0, 1, [50, 50, 14.5, 14.5])))
    assert result.found("warning") == []
    assert result.layout.rows["train"][0]["boxes"] == [[50, 50, 14, 14]]


@pytest.mark.parametrize("box", [[5, 5, 0, 10], [5, 5, 10, 0], [5, 5, -3, 10]])
def test_a_box_without_area_is_left_out_with_a_warning(tmp_path, box):
    result = check(tmp_path, with_boxes(annotation(0, 0, 1, [1, 1, 9, 9]), annotation(8, 0, 1, box)))
    assert result.found("warning") == [("box_empty", "train/0000.jpg")]
    assert "annotation 8" in result.text("box_empty")
    assert result.layout.rows["train"][0]["boxes"] == [[1, 1, 9, 9]]


@pytest.mark.parametrize("box", [None, [1, 2, 3], [1, 2, 3, "4"], [1, 2, 3, True], {"x": 1}, [1, 2, 3, 10**400]])
def test_a_bbox_that_is_not_four_numbers_is_an_error(tmp_path, box):
    assert check(tmp_path, with_boxes(annotation(0, 0, 1, box))).found() == [("box_shape", TRAIN)]


def test_nan_and_infinity_are_not_numbers(tmp_path):
    for number, text in enumerate(("NaN", "Infinity")):
        folder = tmp_path / str(number)
        folder.mkdir()
        files = with_boxes(annotation(0, 0, 1, [1, 2, 3, 123456]))
        files[TRAIN] = files[TRAIN].replace(b"123456", text.encode())
        assert check(folder, files).found() == [("box_shape", TRAIN)]


def test_unknown_category_and_image_are_both_named(tmp_path):
    result = check(tmp_path, with_boxes(annotation(3, 99, 77, [1, 1, 5, 5]), annotation(4, True, "1", [1, 1, 5, 5])))
    messages = [p["message"] for p in result.report.as_json() if p["code"] == "annotation_unknown"]
    assert messages[0] == "Annotation 3 has the image_id 99, which the file does not define. Correct it or add that."
    assert messages[1] == "Annotation 3 has the category_id 77, which the file does not define. Correct it or add that."
    assert len(messages) == 4


def test_an_image_that_is_missing_or_listed_wrongly_is_an_error(tmp_path):
    images = [
        {"id": 0, "file_name": "0000.jpg"},
        {"id": 1, "file_name": "gone.jpg"},
        {"id": 0, "file_name": "0001.jpg"},
        {"id": 2, "file_name": "../validation/0000.jpg"},
        {"id": 3, "file_name": "0000.jpg"},
        {"id": "four", "file_name": "0002.jpg"},
        7,
    ]
    result = check(tmp_path, changed(detection_files(), images=images, annotations=[]))
    assert result.found() == [
        ("image_entry", "train/gone.jpg"),
        ("image_entry", "train/0001.jpg"),
        ("image_entry", TRAIN),
        ("image_entry", "train/0000.jpg"),
        ("image_id", TRAIN),
        ("image_id", TRAIN),
    ]


def test_files_that_no_entry_names_are_left_out_with_a_warning(tmp_path):
    result = check(tmp_path, detection_files() | {"train/extra.jpg": b"", "train/more.jpg": b""})
    assert result.found("warning") == [("not_listed", "train")]
    assert result.text("not_listed").startswith("2 files")


def test_boxes_are_checked_against_the_image_after_exif_rotation(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 8
    files = with_boxes(annotation(0, 0, 1, [30, 55, 5, 5]))  # inside 40 x 60, outside 60 x 40
    files["train/0000.jpg"] = encoded(Image.new("RGB", (60, 40)), "JPEG", exif=exif)
    images = [{"id": 0, "file_name": "0000.jpg", "width": 40, "height": 60}, {"id": 1, "file_name": "0001.jpg"}]
    files = changed(files, images=images)
    result = check(tmp_path, files)
    assert result.found("error") == []
    assert ("size_differs", "train/0000.jpg") not in result.found("warning")
    assert (result.layout.rows["train"][0]["width"], result.layout.rows["train"][0]["height"]) == (40, 60)


def test_a_declared_size_that_is_not_the_images_is_a_warning(tmp_path):
    images = [{"id": 0, "file_name": "0000.jpg", "width": 640, "height": 480}]
    boxes = [annotation(0, 0, 1, [1, 1, 5, 5])]
    result = check(tmp_path, changed(detection_files(train=1), images=images, annotations=boxes))
    assert ("size_differs", "train/0000.jpg") in result.found("warning")


def test_no_box_at_all_and_names_that_mean_two_classes_are_errors(tmp_path):
    assert check(tmp_path, changed(detection_files(), annotations=[])).found() == [("no_boxes", TRAIN)]
    (tmp_path / "second").mkdir()
    twice = [{"id": 1, "name": "cat"}, {"id": 2, "name": "cat"}]
    result = check(tmp_path / "second", changed(detection_files(validation=0), categories=twice))
    assert result.found() == [("label_twice", TRAIN)]


def test_a_category_must_mean_the_same_in_every_split(tmp_path):
    other = [{"id": 1, "name": "thing-2"}, {"id": 2, "name": "thing-1"}]
    result = check(tmp_path, changed(detection_files(), "validation", categories=other))
    assert ("category_differs", "validation/_annotations.coco.json") in result.found()


def test_a_class_without_boxes_in_train_is_a_warning(tmp_path):
    files = changed(detection_files(), annotations=[annotation(0, 0, 1, [1, 1, 9, 9])])
    assert check(tmp_path, files).found("warning") == [("label_not_trained", "train")]


@pytest.mark.parametrize("content", [b"[]", b'"text"', b"null"])
def test_a_file_that_is_no_coco_object_is_refused(tmp_path, content):
    result = check(tmp_path, detection_files() | {TRAIN: content})
    assert result.found() == [("json_shape", TRAIN)]


def test_a_missing_coco_file_is_named(tmp_path):
    files = detection_files()
    del files[TRAIN]
    assert check(tmp_path, files).found() == [("annotations_missing", TRAIN)]


def test_coco_without_lists_says_which_are_missing(tmp_path):
    result = check(tmp_path, detection_files() | {TRAIN: coco([], [], [])})
    assert result.found() == [("no_boxes", TRAIN)]
    (tmp_path / "second").mkdir()
    result = check(tmp_path / "second", detection_files() | {TRAIN: b'{"annotations": {}}'})
    assert result.found() == [("coco_key", TRAIN)] * 3
