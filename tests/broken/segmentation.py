"""Images, masks, lists and id2lable.json that do not fit together."""

import json
from functools import cache
from typing import Any

import numpy as np
from PIL import Image

from tests.broken.case import SEGMENTATION, Case, Expected, error, warning
from tests.corpus import Files, as_json, encoded, segmentation_files

NAMES, LIST, MASK = "resources/id2lable.json", "train/train.json", "train/annotations/0001.png"
PAIR = {"image": "images/0000.png", "seg_map": "annotations/0000.png"}


@cache
def _streets() -> Files:
    return segmentation_files()


def streets(*without: str) -> Files:
    """Four good images in train, two in validation; without the files whose names begin so."""
    return {name: data for name, data in _streets().items() if not (without and name.startswith(without))}


def masked(name: str, make, *problems: Expected) -> Case:
    return Case(name, SEGMENTATION, make, problems)


def with_list(*rows: Any) -> Files:
    return streets() | {LIST: as_json(rows)}


def with_names(content: Any) -> Files:
    return streets() | {NAMES: content if isinstance(content, bytes) else as_json(content)}


def strips(*ids: int, size: int = 64, kind: Any = np.uint8) -> Image.Image:
    """A mask with these ids, in equal strips."""
    row = np.repeat(np.array(ids), -(-size // len(ids)))[:size]
    return Image.fromarray(np.tile(row, (size, 1)).astype(kind))


def with_mask(image: Image.Image, **options: Any) -> Files:
    return streets() | {MASK: encoded(image, **options)}


def no_json(file: str, *words: str) -> Expected:
    return error("json_invalid", file, "not valid JSON", *words, "Correct it or export it again")


def both_broken() -> Files:
    """A list, an image, a mask and a missing file: two faults a split."""
    rows = [PAIR, {**PAIR, "image": "../a.png"}]
    faults = {
        LIST: as_json(rows),
        "train/images/0000.png": _streets()["train/images/0000.png"][:200],
        "validation/annotations/0000.png": encoded(strips(0, 9)),
    }
    return streets("validation/images/0001.png") | faults


NO_LIST = ("Add it", '"image": "images/')
IDS = ("Name them, or use 255",)
NUMBERS = ("write a whole number from 0 to 65535",)
HALF_A_PAIR = b'{"0": "a", "1": "\\ud83d", "2": "b"}'

CASES = [
    masked(
        "no list of train",
        lambda: streets(LIST),
        error("list_missing", LIST, *NO_LIST),
    ),
    masked(
        "no list of validation",
        lambda: streets("validation/validation.json"),
        error("list_missing", "validation/validation.json", *NO_LIST),
    ),
    masked(
        "no list of test",
        lambda: streets() | {"test/images/0.png": b"x"},
        error("list_missing", "test/test.json", *NO_LIST),
    ),
    masked(
        "no id2lable", lambda: streets(NAMES) | {"resources/": b""}, error("labels_missing", NAMES, "Add it", '"0"')
    ),
    masked("no resources", lambda: streets("resources"), error("split_missing", "", "“resources”", "top of the zip")),
    masked(
        "no validation of masks",
        lambda: streets("validation"),
        error("split_missing", "", "“validation”", "top of the zip"),
    ),
    masked("list that is no JSON", lambda: streets() | {LIST: b"[{'image': 'a'}]"}, no_json(LIST, "line 1")),
    masked("list that is cut off", lambda: streets() | {LIST: _streets()[LIST][:-20]}, no_json(LIST)),
    masked(
        "list in UTF-16", lambda: streets() | {LIST: _streets()[LIST].decode().encode("utf-16")}, no_json(LIST, "UTF-8")
    ),
    masked("list of 200,000 brackets", lambda: streets() | {LIST: b"[" * 200_000}, no_json(LIST)),
    masked("list that is empty", lambda: streets() | {LIST: b""}, no_json(LIST, "empty")),
    masked(
        "object in place of a list",
        lambda: streets() | {LIST: b"{}"},
        error("json_shape", LIST, "must be a list such as", '"seg_map"'),
    ),
    masked("list without entries", with_list, error("split_empty", LIST, "no usable images", "Add")),
    masked(
        "list of texts",
        lambda: with_list(PAIR, "images/0001.png"),
        error("list_entry", LIST, "Entry 2", "“image” and “seg_map”"),
    ),
    masked(
        "entry without seg_map",
        lambda: with_list(PAIR, {"image": "images/0001.png"}),
        error("list_path", LIST, "Entry 2", "“seg_map”", "such as"),
    ),
    masked(
        "entry without both keys",
        lambda: with_list(PAIR, {"img": "images/0001.png", "mask": "annotations/0001.png"}),
        error("list_path", LIST, "Entry 2", "“image”", "such as"),
        error("list_path", LIST, "Entry 2", "“seg_map”", "such as"),
    ),
    masked(
        "path that leaves the split",
        lambda: with_list(PAIR, {**PAIR, "image": "../validation/images/0000.png"}),
        error("list_path", LIST, "Entry 2", "“image”", "inside the split"),
    ),
    masked(
        "absolute path in a list",
        lambda: with_list(PAIR, {**PAIR, "seg_map": "/etc/passwd"}),
        error("list_path", LIST, "Entry 2", "“seg_map”", "inside the split"),
    ),
    masked(
        "image that is not there",
        lambda: with_list(PAIR, {**PAIR, "image": "images/9.png"}),
        error("file_missing", "train/images/9.png", "entry 2", "Add it or remove the entry"),
    ),
    masked(
        "mask that is not there",
        lambda: streets(MASK),
        error("file_missing", MASK, "entry 2", "Add it or remove the entry"),
    ),
    masked(
        "paths written from the zip's top",
        lambda: with_list(PAIR, {"image": "train/images/0001.png", "seg_map": "annotations/0001.png"}),
        error("file_missing", "train/train/images/0001.png", "entry 2", "relative to the folder “train”"),
    ),
    masked(
        "image listed twice",
        lambda: with_list(PAIR, PAIR),
        warning("listed_twice", "train/images/0000.png", "used once"),
    ),
    masked(
        "mask of another size",
        lambda: with_mask(strips(0, 1, size=32)),
        error("mask_size", MASK, "32 x 32", "64 x 64", "Both must have the same size"),
    ),
    masked(
        "ids that id2lable does not name",
        lambda: with_mask(strips(0, 1, 9, 12)),
        error("mask_ids", MASK, "9, 12", *IDS),
    ),
    masked(
        "ids of 16 bits that id2lable does not name",
        lambda: with_mask(strips(0, 1, 3000, kind=np.uint16)),
        error("mask_ids", MASK, "3000", *IDS),
    ),
    masked(
        "colour mask",
        lambda: with_mask(strips(0, 1).convert("RGB")),
        error("mask_mode", MASK, "RGB", "one number a pixel", "Save it as"),
    ),
    masked(
        "mask with transparency",
        lambda: with_mask(strips(0, 1).convert("RGBA")),
        error("mask_mode", MASK, "RGBA", "one number a pixel", "Save it as"),
    ),
    masked(
        "JPEG mask",
        lambda: (
            with_list(PAIR, {"image": "images/0001.png", "seg_map": "annotations/1.jpg"})
            | {"train/annotations/1.jpg": encoded(strips(0, 200, 0, 200, 0), "JPEG", quality=40)}
        ),
        error("mask_ids", "train/annotations/1.jpg", "save masks as PNG"),
    ),
    masked(
        "damaged mask",
        lambda: streets() | {MASK: _streets()[MASK][:-40]},
        error("image_damaged", MASK, "damaged or cut off", "Save it again"),
    ),
    masked("mask that is a text", lambda: streets() | {MASK: b"0 0 1"}, error("not_an_image", MASK, "replace it")),
    masked("id2lable that is no JSON", lambda: with_names(b'{"0": "a",}'), no_json(NAMES, "line 1")),
    masked(
        "id2lable that is a list",
        lambda: with_names(["background", "road"]),
        error("json_shape", NAMES, "must be an object such as"),
    ),
    masked("id2lable that is empty", lambda: with_names({}), error("too_few_labels", NAMES, "there are 0", "Add")),
    masked(
        "id2lable with names as keys",
        lambda: with_names({"0": "a", "1": "b", "2": "c", "road": "3"}),
        error("label_id", NAMES, "“road”", *NUMBERS),
    ),
    masked(
        "id2lable with a negative id",
        lambda: with_names({"0": "a", "1": "b", "2": "c", "-1": "d"}),
        error("label_id", NAMES, "“-1”", *NUMBERS),
    ),
    masked(
        "id2lable with an id over 65535",
        lambda: with_names({"0": "a", "1": "b", "2": "c", "70000": "d"}),
        error("label_id", NAMES, "“70000”", *NUMBERS),
    ),
    masked(
        "id2lable with a number as name",
        lambda: with_names({"0": "a", "1": "b", "2": "c", "3": 7}),
        error("label_name", NAMES, "7", "Give it a name"),
    ),
    masked(
        "id2lable with an empty name",
        lambda: with_names({"0": "a", "1": "b", "2": "c", "3": " "}),
        error("label_name", NAMES, "Give it a name"),
    ),
    masked(
        "id2lable with a name twice",
        lambda: with_names({"0": "a", "1": "b", "2": "a"}),
        error("label_twice", NAMES, "“a”", "a name of its own"),
    ),
    masked("id2lable with half a letter", lambda: with_names(HALF_A_PAIR), no_json(NAMES, "half a letter")),
    masked(
        "id2lable of one class",
        lambda: with_names({"0": "background"}),
        error("too_few_labels", NAMES, "there are 1", "Add"),
        *(
            error("mask_ids", f"{split}/annotations/{n:04d}.png", "1, 2", *IDS)
            for split, count in (("train", 4), ("validation", 2))
            for n in range(count)
        ),
    ),
    masked(
        "class that only validation shows",
        lambda: (
            with_names(json.loads(_streets()[NAMES]) | {"5": "rare"})
            | {"validation/annotations/0000.png": encoded(strips(0, 5))}
        ),
        warning("label_not_trained", "validation", "“rare”", "Add"),
    ),
    masked(
        "both splits broken at once, all of it listed",
        both_broken,
        error("list_path", LIST, "Entry 2", "“image”"),
        error("file_missing", "validation/images/0001.png", "entry 2", "Add it or remove the entry"),
        error("mask_ids", "validation/annotations/0000.png", "9", *IDS),
        error("image_damaged", "train/images/0000.png", "Save it again"),
    ),
]
