"""Checks the COCO layout and makes the index: categories mapped to 0..n-1, boxes clipped. Torch-free.

Format: https://cocodataset.org/#format-data, `bbox` is [x, y, width, height] in pixels of the image after
EXIF rotation; see boxes.py. Decisions: a split other than train without `annotations` is not used, with a
warning; without validation, test serves as validation. An image without boxes is normal, as is a category without.
"""

from collections import Counter
from collections.abc import Hashable
from pathlib import Path
from typing import Any

from training.algorithms import doctor
from training.algorithms.balance import class_balance, label_spelling
from training.algorithms.base import Message, Problem
from training.algorithms.base import gettext_noop as _
from training.algorithms.layout import Layout, check_label, find_splits, inside, is_whole, read_json
from training.algorithms.object_detection.boxes import Split, add_boxes, odd_boxes
from training.algorithms.object_detection.spec import ALGORITHM
from training.algorithms.scan import BadImage, Scan, size_text, tiny
from training.report import Report

FILE = "_annotations.coco.json"


def check(root: Path, report: Report, scan: Scan) -> Layout | None:
    """Add every problem to `report`; -> the normalised dataset when there is no error."""
    splits = []
    for name in find_splits(root, ALGORITHM.splits, report):
        if split := _read(root, name, report):
            splits.append(split)
    sizes = _decode(root, splits, report, scan)
    for split in splits:
        add_boxes(split, report)
    names = _categories(splits, report)
    odd_boxes(splits, names, report)
    label_spelling(names.values(), report)
    _check_splits(splits, report)
    doctor.examine(scan.prints, _truth(splits), report)
    return None if report.errors else _layout(splits, names, sizes, report)


def _read(root: Path, name: str, report: Report) -> Split | None:
    """Read one split's file; None when it cannot be used at all."""
    split = Split(name, f"{name}/{FILE}")
    if not (root / split.file).is_file():
        _say_missing(root / name, split.file, report)
        return None
    shape = _("The file must be an object with “images”, “categories” and “annotations”.")
    content = read_json(root, split.file, dict, shape, report)
    if content is None:
        return None
    if "annotations" not in content and name != "train":
        text = _("The file has no “annotations”: the split can measure nothing and is left out. Export it with boxes.")
        report.warning("split_left_out", text, split.file)
        return None
    lists = {}
    for key in ("images", "categories", "annotations"):
        lists[key] = content.get(key)
        if not isinstance(lists[key], list):
            text = _("The file has no list “%(key)s”. Export it again in the COCO format, with the boxes.")
            report.error("coco_key", text, split.file, key=key)
            lists[key] = []
    _read_categories(lists["categories"] or [], split, report)
    if isinstance(content.get("images"), list):
        _read_images(root, lists["images"], split, report)
    split.annotations = lists["annotations"] or []
    return split


def _say_missing(folder: Path, file: str, report: Report) -> None:
    others = sorted(path.name for path in folder.glob("*.json"))
    text = _("The file is missing. Export the boxes in the COCO format and put them there.")
    if len(others) == 1:
        text = _("The file is missing, but there is “%(other)s”. Rename it if it holds the boxes in the COCO format.")
    report.error("annotations_missing", text, file, other=", ".join(others))


def _read_categories(categories: list[Any], split: Split, report: Report) -> None:
    for number, item in enumerate(categories, 1):
        if not isinstance(item, dict) or not is_whole(item.get("id")):
            text = _("Category %(number)s has no “id” that is a whole number. Give it one.")
            report.error("category_id", text, split.file, number=number)
        elif item["id"] in split.categories:
            text = _("Two categories have the id %(id)s. Give each an id of its own.")
            report.error("category_twice", text, split.file, id=item["id"])
        elif check_label(item.get("name"), split.file, report):
            split.categories[item["id"]] = item["name"]


def _read_images(root: Path, images: list[Any], split: Split, report: Report) -> None:
    """Fill `split.rows`; every file at most once. The id of a faulty image stays known, with an empty row."""
    seen: set[str] = set()
    for number, item in enumerate(images, 1):
        identity = item.get("id") if isinstance(item, dict) else None
        if not is_whole(identity):
            text = _("Image %(number)s has no “id” that is a whole number. Give it one.")
            report.error("image_id", text, split.file, number=number)
            continue
        path = inside(split.name, item.get("file_name"))
        problem = ""
        if identity in split.rows:
            problem = _("Two images have the id %(id)s. Give each an id of its own.")
        elif not path:
            problem = _("The “file_name” of image %(id)s is not a path inside the split's folder, such as 0001.jpg.")
        elif path in seen:
            problem = _("Image %(id)s names a file that another image names too. Remove one of them.")
        elif not (root / path).is_file() and (root / path.removeprefix(f"{split.name}/")).is_file():
            problem = _("Image %(id)s: a “file_name” is relative to the folder of its split. Write it without that.")
        elif not (root / path).is_file():
            problem = _("Image %(id)s names this file, but it is not in the zip. Add it, or remove the image.")
        if problem:
            report.error("image_entry", problem, path or split.file, id=identity)
            split.rows.setdefault(identity, {})
            continue
        seen.add(path)
        declared = (item.get("width"), item.get("height"))
        split.rows[identity] = {"image": path, "image_id": identity, "declared": declared}
    _count_unlisted(root, split, seen, report)


def _count_unlisted(root: Path, split: Split, listed: set[str], report: Report) -> None:
    files = {path.relative_to(root).as_posix() for path in (root / split.name).rglob("*") if path.is_file()}
    unlisted = sorted(files - listed - {split.file})
    if unlisted:
        text = _("%(count)s files are not named in %(file)s and are left out, for example %(example)s.")
        params = {"count": len(unlisted), "file": split.file, "example": unlisted[0]}
        report.add(Problem("not_listed", Message(text, params), split.name, "warning"))


def _decode(root: Path, splits: list[Split], report: Report, scan: Scan) -> list[tuple[int, int]]:
    """Decode every image and complete its row with its size. -> the sizes."""
    rows = [row for split in splits for row in split.rows.values() if row]
    sizes: list[tuple[int, int]] = []

    def look(row: dict[str, Any]) -> tuple[int, int] | Problem:
        try:
            return scan.image(f"{root}/{row['image']}", row["image"])
        except BadImage as error:
            return error.problem

    for row, result in scan.each("images", look, rows, lambda row: f"{root}/{row['image']}"):
        declared = row.pop("declared")
        if isinstance(result, Problem):
            report.add(Problem(result.code, result.message, row["image"]))
            row.clear()
            continue
        sizes.append(result)
        row.update(width=result[0], height=result[1], boxes=[], labels=[], area=[], iscrowd=[])
        report.extend(tiny(result, row["image"]))
        if all(is_whole(side) and side > 0 for side in declared) and declared != result:
            text = _("The annotations say %(declared)s, the image is %(real)s. Were the boxes drawn on another size?")
            params = {"declared": size_text(declared), "real": size_text(result)}
            report.warning("size_differs", text, row["image"], **params)
    return sizes


def _categories(splits: list[Split], report: Report) -> dict[int, str]:
    """The categories that have boxes, {id: name}, ascending by id."""
    names: dict[int, str] = {}
    used = {
        split.name: Counter(label for row in split.rows.values() for label in row.get("labels", ())) for split in splits
    }
    for split in splits:
        for identity, name in split.categories.items():
            if names.setdefault(identity, name) != name:
                text = _("Category %(id)s is “%(name)s” here, but “%(other)s” in another split. Use the same ids.")
                report.error("category_differs", text, split.file, id=identity, name=name, other=names[identity])
    everywhere: Counter[int] = sum(used.values(), Counter())
    for identity in sorted(set(names) - set(everywhere)):
        report.fact("class_unused", _("The category “%(name)s” has no boxes and is no class."), name=names[identity])
    classes = {identity: names[identity] for identity in sorted(everywhere)}
    for name, count in Counter(classes.values()).items():
        if count > 1:
            text = _("%(count)s ids have the name “%(name)s”. Give each class a name of its own.")
            report.error("label_twice", text, splits[0].file, count=count, name=name)
    for identity, name in classes.items():
        if used.get("train") and not used["train"][identity]:
            text = _("The class “%(name)s” has no boxes in train, so it cannot be learnt. Add some.")
            report.warning("label_not_trained", text, "train", name=name)
    class_balance({name: used.get("train", Counter())[identity] for identity, name in classes.items()}, report)
    return classes


def _truth(splits: list[Split]) -> dict[str, Hashable]:
    """{file: its boxes with their categories}"""
    rows = [row for split in splits for row in split.rows.values() if "boxes" in row]
    return {row["image"]: tuple(sorted(zip(map(tuple, row["boxes"]), row["labels"], strict=True))) for row in rows}


def _check_splits(splits: list[Split], report: Report) -> None:
    names = {split.name for split in splits}
    for split in splits:
        if split.name == "train" and not report.errors and not any(row.get("boxes") for row in split.rows.values()):
            text = _("No image has a box, so there is nothing to learn. Draw some and export them.")
            report.error("no_boxes", text, split.file)
        elif split.name != "train" and not split.rows:
            report.warning("split_empty", _("The split has no images. Add some."), split.file)
    if "validation" not in names and "test" in names:
        text = _("There is no validation split: test serves as validation, so its figures are not independent.")
        report.warning("test_is_validation", text)
    elif "validation" not in names:
        text = _("There is neither validation nor test: nothing will measure the model. Add one.")
        report.warning("no_validation", text)


def _layout(splits: list[Split], names: dict[int, str], sizes: list[tuple[int, int]], report: Report) -> Layout:
    """Class indices for category ids, and the test split as validation where there is none."""
    position = {identity: index for index, identity in enumerate(names)}
    layout = Layout([{"id": identity, "name": name} for identity, name in names.items()], {}, {}, sizes)
    for split in splits:
        boxes = Counter(names[label] for row in split.rows.values() for label in row["labels"])
        layout.counts[split.name] = {name: boxes[name] for name in names.values()}
        for row in split.rows.values():
            row["labels"] = [position[label] for label in row["labels"]]
        layout.rows[split.name] = list(split.rows.values())
    if "validation" not in layout.rows and "test" in layout.rows:
        layout.rows["validation"], layout.counts["validation"] = layout.rows["test"], layout.counts["test"]
    return layout
