"""Checks the layout of images, masks and id2lable.json and makes the index. Torch-free.

Decisions: an id that is not in id2lable is an error, except 255, which is ignored unless it has a name.
A mask must have its image's size after EXIF rotation and one number a pixel. A class that training
never shows is a warning; an image that a list names twice is used once.
"""

import zlib
from collections import Counter
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.algorithms import doctor
from training.algorithms.balance import class_balance, label_spelling
from training.algorithms.base import Message, Problem
from training.algorithms.base import gettext_noop as _
from training.algorithms.images import NotAMask, open_mask
from training.algorithms.layout import Layout, check_label, find_splits, inside, read_json
from training.algorithms.scan import DAMAGED, BadImage, Scan, size_text, tiny
from training.algorithms.semantic_segmentation.masks import (
    IGNORED_ID,
    Colour,
    Masks,
    colours_of,
    pixels_by_id,
    report_colours,
    report_single,
)
from training.algorithms.semantic_segmentation.spec import ALGORITHM
from training.report import Report

LABEL_FILES = ("resources/id2lable.json", "resources/id2label.json")
LIST_FILES = {"test": ("test.json", "train.json")}  # the guide itself calls the test split's list train.json


@dataclass
class Pair:
    """What was found in one image and its mask. `pixels`: {class id: pixels}; `colours`: see Masks."""

    problems: list[Problem]
    size: tuple[int, int] | None = None
    pixels: dict[int, int] | None = None
    checksum: int = 0
    colours: tuple[str, set[Colour] | None] | None = None


def check(root: Path, report: Report, scan: Scan) -> Layout | None:
    """Add every problem to `report`; -> the normalised dataset when there is no error."""
    splits = find_splits(root, {**ALGORITHM.splits, "resources": True}, report)
    names = _labels(root, report) if "resources" in splits else None
    splits = [split for split in splits if split != "resources"]
    rows = {split: _rows(root, split, report) for split in splits}
    layout = Layout([], rows, {split: {} for split in splits})
    if names is not None:
        layout.labels = [{"id": number, "name": name} for number, name in sorted(names.items())]
        layout.counts = {split: dict.fromkeys(names.values(), 0) for split in splits}
    truth = _read(root, names, layout, report, scan)
    if names is not None:
        _check_classes(layout, report)
        class_balance(layout.counts.get("train", {}), report)
        label_spelling(names.values(), report)
    doctor.examine(scan.prints, truth, report)
    return None if report.errors else layout


def _labels(root: Path, report: Report) -> dict[int, str] | None:
    """id2lable.json as {class id: name}, or None when it cannot be read at all."""
    file = next((name for name in LABEL_FILES if (root / name).is_file()), None)
    if file is None:
        text = _('The file is missing. Add it with the name of each class id: {"0": "background", "1": "road"}.')
        report.error("labels_missing", text, LABEL_FILES[0])
        return None
    shape = _('The file must be an object such as {"0": "background", "1": "road"}.')
    content = read_json(root, file, dict, shape, report)
    if content is None:
        return None
    names: dict[int, str] = {}
    for key, name in content.items():
        if not (key.isascii() and key.isdigit() and len(key) < 10 and int(key) < 65536):
            text = _("“%(key)s” is not a class id: write a whole number from 0 to 65535.")
            report.error("label_id", text, file, key=key[:40])
        elif check_label(name, file, report):
            names[int(key)] = name
    if len(names) < 2:
        report.error(
            "too_few_labels",
            _("At least two classes are needed; there are %(count)s. Add the others."),
            file,
            count=len(names),
        )
    for name, count in Counter(names.values()).items():
        if count > 1:
            text = _("%(count)s ids have the name “%(name)s”. Give each class a name of its own.")
            report.error("label_twice", text, file, count=count, name=name)
    return names or None


def _rows(root: Path, split: str, report: Report) -> list[dict[str, Any]]:
    """The split's list as index rows whose two files exist."""
    candidates = LIST_FILES.get(split, (f"{split}.json",))
    file = next((f"{split}/{name}" for name in candidates if (root / split / name).is_file()), None)
    if file is None:
        text = _('The file is missing. Add it: [{"image": "images/1.png", "seg_map": "annotations/1.png"}].')
        report.error("list_missing", text, f"{split}/{candidates[0]}")
        return []
    shape = _('The file must be a list such as [{"image": "images/1.png", "seg_map": "annotations/1.png"}].')
    content = read_json(root, file, list, shape, report)
    if content is None:
        return []
    rows: dict[str, dict[str, Any]] = {}
    for number, item in enumerate(content, 1):
        row = _row(root, split, item, report, number=number, file=file)
        if row and row["image"] in rows:
            report.warning("listed_twice", _("The list names this image twice; it is used once."), row["image"])
        elif row:
            rows[row["image"]] = row
    if not rows and split != "test":
        report.error("split_empty", _("The split has no usable images. Add some to the list."), file)
    return list(rows.values())


def _row(root: Path, split: str, item: Any, report: Report, *, number: int, file: str) -> dict[str, Any] | None:
    if not isinstance(item, dict):
        text = _("Entry %(number)s is not an object with “image” and “seg_map”. Correct or remove it.")
        report.error("list_entry", text, file, number=number)
        return None
    row = {}
    for key, name in (("image", "image"), ("seg_map", "mask")):
        path = inside(split, item.get(key))
        if not path:
            text = _("Entry %(number)s: “%(key)s” is not a path inside the split's folder, such as images/0001.png.")
            report.error("list_path", text, file, number=number, key=key)
        elif not (root / path).is_file():
            text = _(
                "%(list)s names this file in entry %(number)s, but it is not in the zip. Add it or remove the entry."
            )
            if (root / path.removeprefix(f"{split}/")).is_file():
                text = _(
                    "%(list)s, entry %(number)s: paths are relative to the folder “%(split)s”. Write it without that."
                )
            report.error("file_missing", text, path, list=file, number=number, split=split)
        else:
            row[name] = path
    return row if len(row) == 2 else None


def _read(root: Path, names: dict[int, str] | None, layout: Layout, report: Report, scan: Scan) -> dict[str, Hashable]:
    """Decode every image and mask; fill in the layout's counts and sizes. -> {image: checksum of its mask}"""
    items = [(split, row) for split, rows in layout.rows.items() for row in rows]
    masks, truth = Masks(), dict[str, Hashable]()

    def look(item: tuple[str, dict[str, Any]]) -> Pair:
        return _pair(root, item[1]["image"], item[1]["mask"], names, scan)

    for (split, row), pair in scan.each("images", look, items, lambda item: f"{root}/{item[1]['image']}"):
        report.extend(pair.problems)
        truth[row["image"]] = pair.checksum
        if pair.size:
            layout.sizes.append(pair.size)
        if pair.colours:
            masks.colours[row["mask"]] = pair.colours
        if pair.pixels and names:
            masks.see(row["mask"], row["image"], pair.pixels, names)
        for number in pair.pixels or ():
            if names and number in names:
                layout.counts[split][names[number]] += 1
    report_colours(masks, names, root, report)
    report_single(masks, names or {}, report)
    return truth


def _pair(root: Path, image: str, mask: str, names: dict[int, str] | None, scan: Scan) -> Pair:
    """Look at one image and its mask. Runs in a thread."""
    pair = Pair([])
    try:
        pair.size = scan.image(f"{root}/{image}", image)
        pair.problems += tiny(pair.size, image)
    except BadImage as error:
        pair.problems.append(Problem(error.problem.code, error.problem.message, image))
    try:
        size = scan.header(root / mask)
        with scan.room(size):
            ids = open_mask(root / mask)
            pair.pixels, pair.checksum = pixels_by_id(ids), zlib.crc32(ids.tobytes())
    except BadImage as error:
        pair.problems.append(Problem(error.problem.code, error.problem.message, mask))
        return pair
    except NotAMask as error:
        pair.colours = str(error), colours_of(root / mask)
        return pair
    except DAMAGED as error:
        text = _("The mask is damaged or cut off (%(reason)s). Save it again.")
        pair.problems.append(Problem("image_damaged", Message(text, {"reason": str(error)}), mask))
        return pair
    if pair.size and size != pair.size:
        text = _("The mask is %(mask)s, its image %(file)s is %(image)s. Both must have the same size.")
        params = {"mask": size_text(size), "image": size_text(pair.size), "file": image}
        pair.problems.append(Problem("mask_size", Message(text, params), mask))
    if names is not None:
        pair.problems += _unknown(pair.pixels, names, mask)
    return pair


def _unknown(ids: Iterable[int], names: dict[int, str], mask: str) -> list[Problem]:
    unknown = [number for number in ids if number not in names and number != IGNORED_ID]
    if not unknown:
        return []
    listed = ", ".join(map(str, unknown[:10])) + (", ..." if len(unknown) > 10 else "")
    if mask.casefold().endswith((".jpg", ".jpeg")):
        text = _("The mask has ids that id2lable does not name: %(ids)s. JPEG changes pixels; save masks as PNG.")
    else:
        text = _("The mask has ids that id2lable does not name: %(ids)s. Name them, or use 255 for “ignore”.")
    return [Problem("mask_ids", Message(text, {"ids": listed}), mask)]


def _check_classes(layout: Layout, report: Report) -> None:
    """Classes that training never shows; validation is then no measure for them."""
    train, validation = layout.counts.get("train", {}), layout.counts.get("validation", {})
    if not any(train.values()):  # no mask of it could be read: that has been said
        return
    for name, count in train.items():
        if not count and validation.get(name):
            text = _("The class “%(name)s” is in validation but in no mask of train, so it cannot be learnt. Add some.")
            report.warning("label_not_trained", text, "validation", name=name)
        elif not count:
            report.fact("class_unused", _("The class “%(name)s” is in no mask of train."), name=name)
