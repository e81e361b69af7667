"""The boxes of a COCO file: each clipped to its image, with what is odd about it. Torch-free.

A box that lies outside its image is an error, one that leaves it by more than a pixel is clipped with a warning, one
without area is left out with a warning. The mend `box_clip` writes the same into the file.
"""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from training.algorithms.base import NAMED, Message, Problem
from training.algorithms.base import gettext_noop as _
from training.algorithms.layout import is_number, is_whole
from training.algorithms.scan import size_text
from training.report import Report

ROUNDING = 1.0  # pixels by which a box may leave its image without a word
TINY_SIDE, TINY_AREA = 4, 0.0001  # pixels; share of the image, which DETR sees at about 800 pixels: 8 of those
HUGE_AREA = 0.95  # share of the image
TEXTS = {
    "box_empty": ("warning", _("The box of annotation %(id)s, [%(box)s], has no area and is left out.")),
    "box_outside": (
        "error",
        _("The box of annotation %(id)s, [%(box)s], lies outside the image (%(size)s). Correct or remove it."),
    ),
    "box_clipped": (
        "warning",
        _("The box of annotation %(id)s, [%(box)s], leaves the image (%(size)s) and is cut at its edge."),
    ),
    "box_tiny": (
        "warning",
        _(
            "Boxes of “%(name)s” with a side below 4 pixels or less than 0.01 %% of the image: %(count)s. That is too "
            "little to learn from. Are they slips of the mouse? Then remove them."
        ),
    ),
    "box_huge": (
        "warning",
        _(
            "Boxes of “%(name)s” that hold over 95 %% of their image: %(count)s. Was the whole image marked? Then draw "
            "them anew."
        ),
    ),
}


@dataclass
class Split:
    """One split's COCO file. `rows`: index rows by image id, whose `labels` are category ids until the end."""

    name: str
    file: str
    categories: dict[int, str] = field(default_factory=dict)
    rows: dict[int, dict[str, Any]] = field(default_factory=dict)
    annotations: list[Any] = field(default_factory=list)


@dataclass
class Placed:
    """What became of a box: what is odd about it ("" for nothing), and what is left of it."""

    code: str
    row: dict[str, Any]
    box: list[float]
    clipped: list[float] | None = None


def add_boxes(split: Split, report: Report) -> None:
    """Check every annotation and add its box to its image's row."""
    for number, item in enumerate(split.annotations, 1):
        if not isinstance(item, dict):
            text = _("Annotation %(id)s is not an object with “image_id”, “category_id” and “bbox”. Export it again.")
            report.error("annotation_shape", text, split.file, id=number)
            continue
        identity = item.get("id", number)
        identity = identity if is_whole(identity) else repr(identity)[:40]
        image: Any = item.get("image_id")
        category: Any = item.get("category_id")
        unknown = [
            (key, value)
            for key, value, known in (("image_id", image, split.rows), ("category_id", category, split.categories))
            if not is_whole(value) or value not in known
        ]
        for key, value in unknown:
            text = _(
                "Annotation %(id)s has the %(key)s %(value)s, which the file does not define. Correct it or add that."
            )
            report.error("annotation_unknown", text, split.file, id=identity, key=key, value=repr(value)[:40])
        box = _numbers(item.get("bbox"))
        if box is None:
            text = _("The “bbox” of annotation %(id)s is not four numbers [x, y, width, height]. Correct or remove it.")
            report.error("box_shape", text, split.file, id=identity)
        elif not unknown and split.rows[image]:
            placed = _add_box(split.rows[image], box, item)
            _tell(placed, split, number - 1, identity, report)


def _numbers(box: Any) -> list[float] | None:
    """Four finite numbers, or None."""
    return box if isinstance(box, list) and len(box) == 4 and all(map(is_number, box)) else None


def _add_box(row: dict[str, Any], box: list[float], item: dict[str, Any]) -> Placed:
    """Clip `box` to the image of `row` and add it, unless nothing is left of it."""
    x, y, width, height = box
    left, top = max(x, 0), max(y, 0)
    right, bottom = min(x + width, row["width"]), min(y + height, row["height"])
    clipped = [left, top, right - left, bottom - top]
    if width <= 0 or height <= 0:
        return Placed("box_empty", row, box)
    if right <= left or bottom <= top:
        return Placed("box_outside", row, box)
    area = item.get("area")
    usable = is_number(area) and area > 0
    row["boxes"].append(clipped)
    row["labels"].append(item["category_id"])
    row["area"].append(min(area, clipped[2] * clipped[3]) if usable else clipped[2] * clipped[3])
    row["iscrowd"].append(1 if item.get("iscrowd") in (1, True) else 0)
    beyond = max(left - x, top - y, x + width - right, y + height - bottom)
    return Placed("box_clipped" if beyond > ROUNDING else "", row, box, clipped)


def _tell(placed: Placed, split: Split, position: int, identity: Any, report: Report) -> None:
    """Report what is wrong with a box, and plan its mend: the box cut to its image, or none."""
    if not placed.code:
        return
    row, box = placed.row, ", ".join(f"{v:g}" for v in placed.box)
    level, text = TEXTS[placed.code]
    params = {"id": identity, "box": box, "size": size_text((row["width"], row["height"]))}
    message = Message(text, params)
    report.add(Problem(placed.code, message, row["image"], level, mend="box_clip"))
    report.plans.setdefault("box_clip", {}).setdefault(split.file, {})[str(position)] = placed.clipped


def odd_boxes(splits: list[Split], names: dict[int, str], report: Report) -> None:
    """One warning a class for boxes that are too small to be learnt, and for those that hold the whole image."""
    found: dict[tuple[str, int], list[str]] = defaultdict(list)
    for split in splits:
        for row in split.rows.values():
            whole = row.get("width", 0) * row.get("height", 0)
            for (_x, _y, width, height), label in zip(row.get("boxes", ()), row.get("labels", ()), strict=True):
                if min(width, height) < TINY_SIDE or width * height < TINY_AREA * whole:
                    found["box_tiny", label].append(row["image"])
                elif width * height > HUGE_AREA * whole:
                    found["box_huge", label].append(row["image"])
    for (code, label), files in sorted(found.items()):
        level, text = TEXTS[code]
        distinct = tuple(dict.fromkeys(files))[:NAMED]
        message = Message(text, {"count": len(files), "name": names[label]})
        report.add(Problem(code, message, files[0], level, distinct))
