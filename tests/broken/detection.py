"""COCO files, images and boxes that do not fit together."""

import json
from functools import cache
from typing import Any

from tests.broken.case import DETECTION, Case, Expected, error, fact, warning
from tests.corpus import Files, annotation, as_json, detection_files

TRAIN, VALIDATION, IMAGE = "train/_annotations.coco.json", "validation/_annotations.coco.json", "train/0000.jpg"


@cache
def _things() -> Files:
    return detection_files()


def things(*without: str) -> Files:
    """Four good images in train, two in validation; without the files whose names begin so."""
    return {name: data for name, data in _things().items() if not (without and name.startswith(without))}


def boxed(name: str, make, *problems: Expected) -> Case:
    return Case(name, DETECTION, make, problems)


def content(split: str = "train") -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(_things()[f"{split}/_annotations.coco.json"])
    return parsed


def changed(split: str = "train", **parts: Any) -> Files:
    """The good files with keys of one COCO file replaced; None removes a key."""
    kept = {key: value for key, value in {**content(split), **parts}.items() if value is not None}
    return things() | {f"{split}/_annotations.coco.json": as_json(kept)}


def more(*annotations: Any) -> Files:
    """These annotations after those that are good."""
    return changed(annotations=[*content()["annotations"], *annotations])


def box(*sides: Any, image: Any = 0, category: Any = 1) -> dict[str, Any]:
    return annotation(31, image, category, list(sides))


def with_image(number: int, **fields: Any) -> Files:
    """The fields of one image of train replaced."""
    images = content()["images"]
    images[number] |= fields
    return changed(images=images)


def with_category(**fields: Any) -> Files:
    return changed(categories=[*content()["categories"], fields])


def unnamed_number(text: bytes) -> Files:
    """A bbox with a number that JSON does not have, as Python writes it."""
    files = more(box(1, 2, 3, 123456))
    return files | {TRAIN: files[TRAIN].replace(b"123456", text)}


def outside(*sides: int) -> Case:
    return boxed(f"box outside its image {sides}", lambda: more(box(*sides)), OUTSIDE)


def empty(name: str, *sides: int) -> Case:
    return boxed(
        name,
        lambda: more(box(*sides)),
        warning("box_empty", IMAGE, "annotation 31", "no area", "left out", "[mend: box_clip]"),
    )


def no_box(name: str, make) -> Case:
    return boxed(
        name, make, error("box_shape", TRAIN, "annotation 31", "[x, y, width, height]", "Correct or remove it")
    )


def unknown(key: str, value: str, number: int = 31) -> Expected:
    words = (f"Annotation {number} has the {key} {value}", "Correct it or add")
    return error("annotation_unknown", TRAIN, *words)


def several_at_once() -> Files:
    """Five faults of train, three of validation."""
    train = more(box(1, 2, 3), box(200, 0, 5, 5), box(1, 1, 5, 5, category=77))
    rest = content("validation")
    rest["annotations"].append(annotation(44, 1, 1, [0, 0, -5, 900]))
    rest["annotations"].append(annotation(45, 1, 1, [900, 0, 5, 5]))
    rest["images"][0]["file_name"] = "gone.jpg"
    return train | {VALIDATION: as_json(rest), "train/0001.jpg": b"no image"}


def two_of_one_name() -> Files:
    """Both classes are called cow, in both splits."""
    cows = [{"id": 1, "name": "cow"}, {"id": 2, "name": "cow"}]
    return changed(categories=cows) | {VALIDATION: changed("validation", categories=cows)[VALIDATION]}


OUTSIDE = error("box_outside", IMAGE, "annotation 31", "64 x 64", "Correct or remove it", "[mend: box_clip]")
COCO = ("Export it again in the COCO format",)
ID = ("“id” that is a whole number", "Give it one")

CASES = [
    boxed("no COCO file in train", lambda: things(TRAIN), error("annotations_missing", TRAIN, "COCO", "Export")),
    boxed("no train for detection", lambda: things("train"), error("split_missing", "", "“train”", "top of the zip")),
    boxed("no validation for detection", lambda: things("validation"), warning("no_validation", "", "Add one")),
    boxed(
        "COCO file of another name",
        lambda: things(TRAIN) | {"train/annotations.json": _things()[TRAIN]},
        error("annotations_missing", TRAIN, "“annotations.json”", "Rename it"),
    ),
    boxed(
        "COCO that is no JSON",
        lambda: things() | {TRAIN: b"{'images': []}"},
        error("json_invalid", TRAIN, "line 1", "Correct it or export it again"),
    ),
    boxed(
        "COCO that is a list",
        lambda: things() | {TRAIN: b"[]"},
        error("json_shape", TRAIN, "“images”, “categories” and “annotations”"),
    ),
    boxed(
        "COCO without annotations", lambda: changed(annotations=None), error("coco_key", TRAIN, "“annotations”", *COCO)
    ),
    boxed(
        "COCO of three texts",
        lambda: changed(images="", categories="", annotations=""),
        *(error("coco_key", TRAIN, f"“{key}”", *COCO) for key in ("images", "categories", "annotations")),
    ),
    boxed(
        "validation without annotations",
        lambda: changed("validation", annotations=None),
        warning("split_left_out", VALIDATION, "left out", "Export"),
        warning("no_validation", "", "Add one"),
    ),
    boxed(
        "no boxes at all",
        lambda: changed(annotations=[]),
        error("no_boxes", TRAIN, "nothing to learn", "Draw"),
    ),
    outside(64, 0, 5, 5),
    outside(-9, 10, 5, 5),
    outside(10, 2000, 5, 5),
    boxed(
        "box that leaves its image",
        lambda: more(box(-4, 40, 20, 90)),
        warning("box_clipped", IMAGE, "annotation 31", "cut at its edge", "[mend: box_clip]"),
    ),
    empty("box of no width", 5, 5, 0, 10),
    empty("box of no height", 5, 5, 10, 0),
    empty("box of negative width", 5, 5, -3, 10),
    no_box("box of NaN", lambda: unnamed_number(b"NaN")),
    no_box("box of infinity", lambda: unnamed_number(b"Infinity")),
    no_box("box of texts", lambda: more(box("1", "2", "3", "4"))),
    no_box("box of three numbers", lambda: more(box(1, 2, 3))),
    no_box("box of five numbers", lambda: more(box(1, 2, 3, 4, 5))),
    no_box("box of null", lambda: more({**box(), "bbox": None})),
    boxed(
        "annotation without bbox",
        lambda: more({"id": 31, "image_id": 0, "category_id": 1}),
        error("box_shape", TRAIN, "annotation 31", "Correct or remove it"),
    ),
    boxed(
        "annotation that is a list",
        lambda: more([1, 2, 3, 4]),
        error("annotation_shape", TRAIN, "is not an object", "“image_id”"),
    ),
    boxed("unknown category", lambda: more(box(1, 1, 9, 9, category=77)), unknown("category_id", "77")),
    boxed("unknown image", lambda: more(box(1, 1, 9, 9, image=99)), unknown("image_id", "99")),
    boxed(
        "unknown both",
        lambda: more(box(1, 1, 9, 9, image=99, category=77)),
        unknown("image_id", "99"),
        unknown("category_id", "77"),
    ),
    boxed(
        "ids as texts",
        lambda: more(box(1, 1, 9, 9, image="0", category="1")),
        unknown("image_id", "'0'"),
        unknown("category_id", "'1'"),
    ),
    boxed(
        "image of COCO that is not there",
        lambda: things("train/0003.jpg"),
        error("image_entry", "train/0003.jpg", "not in the zip", "Add it, or remove the image"),
    ),
    boxed(
        "image whose file_name leaves the split",
        lambda: with_image(0, file_name="../validation/0000.jpg"),
        error("image_entry", TRAIN, "image 0", "inside the split's folder", "such as"),
        warning("not_listed", "train", "0000.jpg"),
    ),
    boxed(
        "two images of one id",
        lambda: with_image(1, id=0),
        error("image_entry", "train/0001.jpg", "Two images have the id 0", "an id of its own"),
        warning("not_listed", "train", "0001.jpg"),
        *(unknown("image_id", "1", n) for n in (2, 3)),
    ),
    boxed(
        "two images of one file",
        lambda: with_image(1, file_name="0000.jpg"),
        error("image_entry", IMAGE, "another image names too", "Remove one"),
        warning("not_listed", "train", "0001.jpg"),
    ),
    boxed(
        "image without an id",
        lambda: with_image(0, id=None),
        error("image_id", TRAIN, "Image 1", *ID),
        warning("not_listed", "train", "0000.jpg"),
        *(unknown("image_id", "0", n) for n in (0, 1)),
    ),
    boxed(
        "image of COCO that is damaged",
        lambda: things() | {IMAGE: _things()[IMAGE][:-300]},
        error("image_damaged", IMAGE, "Save it again or remove it"),
    ),
    boxed(
        "size that is not the image's",
        lambda: with_image(0, width=640, height=480),
        warning("size_differs", IMAGE, "640 x 480", "64 x 64", "Were the boxes drawn"),
    ),
    boxed("category without an id", lambda: with_category(name="cow"), error("category_id", TRAIN, "Category 4", *ID)),
    boxed("category without a name", lambda: with_category(id=9), error("label_name", TRAIN, "Give it a name")),
    boxed(
        "two categories of one id",
        lambda: with_category(id=1, name="cow"),
        error("category_twice", TRAIN, "the id 1", "an id of its own"),
    ),
    boxed("two categories of one name", two_of_one_name, error("label_twice", TRAIN, "“cow”", "a name of its own")),
    boxed(
        "category that means another class in validation",
        lambda: changed("validation", categories=[{"id": 1, "name": "thing-2"}, {"id": 2, "name": "thing-1"}]),
        *(
            error("category_differs", VALIDATION, f"Category {n}", "in another split", "Use the same ids")
            for n in (1, 2)
        ),
    ),
    boxed(
        "class without boxes in train",
        lambda: changed(annotations=[a for a in content()["annotations"] if a["category_id"] == 1]),
        warning("label_not_trained", "train", "“thing-2”", "Add"),
    ),
    boxed(
        "category that no box has",
        lambda: with_category(id=9, name="cow"),
        fact("class_unused", "", "“cow”"),
        fact("class_unused", "", "“none”"),
    ),
    boxed(
        "files that nothing names",
        lambda: things() | {"train/a.jpg": _things()[IMAGE], "train/b.txt": b""},
        warning("not_listed", "train", "2 files", "a.jpg"),
    ),
    boxed(
        "two splits broken at once, every fault listed",
        several_at_once,
        error("box_shape", TRAIN, "annotation 31", "Correct or remove it"),
        OUTSIDE,
        unknown("category_id", "77"),
        error("not_an_image", "train/0001.jpg", "replace it"),
        error("image_entry", "validation/gone.jpg", "not in the zip"),
        error("box_outside", "validation/0001.jpg", "annotation 45", "Correct or remove it"),
        warning("box_empty", "validation/0001.jpg", "annotation 44", "no area"),
        warning("not_listed", "validation", "0000.jpg"),
    ),
]
