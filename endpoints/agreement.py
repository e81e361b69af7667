"""Whether two stages say the same of an image: what shadow mode compares.

The form of an answer says what it is; no model is asked.
"""

import base64
import io
from collections.abc import Mapping
from itertools import islice
from operator import eq
from typing import Any

import orjson
from PIL import Image, ImageChops, UnidentifiedImageError

EQUAL_PIXELS = 0.99  # of two masks that agree
OVERLAP = 0.5  # intersection over union from which on two boxes are the same thing
NOT_COMPARED = {"id", "model_name", "model_version"}  # they say who answered


def agree(one: bytes, other: bytes) -> bool:
    """Compare two answers to the same request, whatever the protocol, as long as it is JSON.

    Classification: the same label first. Segmentation: at least 99 % of the pixels are equal. Detection: the same
    labels, box by box with an IoU of 0.5 or more. Anything else: equal JSON, or equal bytes where it is no JSON.
    """
    if one == other:
        return True
    try:
        return _same(_predictions(orjson.loads(one)), _predictions(orjson.loads(other)))
    except orjson.JSONDecodeError:
        return False


def _predictions(answer: Any) -> Any:
    """The tensors of the Open Inference Protocol as the guide's predictions; anything else as it is."""
    outputs = answer.get("outputs") if isinstance(answer, Mapping) else None
    if not isinstance(outputs, list) or not all(isinstance(row, Mapping) and "data" in row for row in outputs):
        return answer
    tensors = {row["name"]: row for row in outputs}
    if set(tensors) == {"labels", "scores"}:
        return [[{"score": 0, "label": labels[0]}] for labels in _reshaped(tensors["labels"])]
    if set(tensors) == {"mask"}:
        return _reshaped(tensors["mask"])
    if set(tensors) == {"boxes", "labels", "scores", "counts"}:
        corners = [dict(zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)) for box in _reshaped(tensors["boxes"])]
        rows = iter([{label: box} for label, box in zip(tensors["labels"]["data"], corners, strict=True)])
        return [list(islice(rows, count)) for count in tensors["counts"]["data"]]
    return answer


def _reshaped(tensor: Mapping[str, Any]) -> list[Any]:
    """The flat data of a tensor as nested lists."""
    rows = list(tensor["data"])
    for size in reversed(tensor["shape"][1:]):
        rows = [rows[start : start + size] for start in range(0, len(rows), size)]
    return rows


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        keys = (set(one) | set(other)) - NOT_COMPARED
        return all(key in one and key in other and _same(one[key], other[key]) for key in keys)
    if isinstance(one, list) and isinstance(other, list):
        return _same_lists(one, other)
    return bool(one == other) or (isinstance(one, str) and isinstance(other, str) and _same_image(one, other))


def _same_lists(one: list[Any], other: list[Any]) -> bool:
    if _scores(one) and _scores(other):
        return bool(one[0]["label"] == other[0]["label"])
    if _boxes(one) and _boxes(other):
        return same_boxes(one, other)
    if _rows(one) and _rows(other):
        return same_pixels(one, other)
    return len(one) == len(other) and all(map(_same, one, other))


def _scores(answer: list[Any]) -> bool:
    return bool(answer) and isinstance(answer[0], Mapping) and set(answer[0]) == {"score", "label"}


def _boxes(answer: list[Any]) -> bool:
    """An image without a thing on it has an empty list."""
    return all(isinstance(row, Mapping) and all(map(_is_box, row.values())) for row in answer)


def _is_box(value: Any) -> bool:
    return isinstance(value, Mapping) and {"xmin", "ymin", "xmax", "ymax"} <= set(value)


def _rows(answer: list[Any]) -> bool:
    return bool(answer) and all(isinstance(row, list) and row and isinstance(row[0], int) for row in answer)


def same_pixels(one: list[list[int]], other: list[list[int]]) -> bool:
    """Two masks, as rows of class ids."""
    if [len(row) for row in one] != [len(row) for row in other]:
        return False
    pixels = sum(map(len, one))
    equal = sum(len(a) if a == b else sum(map(eq, a, b)) for a, b in zip(one, other, strict=True))
    return equal >= EQUAL_PIXELS * pixels


def _same_image(one: str, other: str) -> bool:
    """Two masks as base64 of a PNG."""
    try:
        masks = [Image.open(io.BytesIO(base64.b64decode(text, validate=True))) for text in (one, other)]
        if masks[0].size != masks[1].size or masks[0].mode != masks[1].mode:
            return False
        equal = ImageChops.difference(*masks).histogram()[0]
    except (ValueError, UnidentifiedImageError, OSError):
        return False
    return bool(equal >= EQUAL_PIXELS * masks[0].width * masks[0].height)


def same_boxes(one: list[Any], other: list[Any]) -> bool:
    """Boxes as [{label: {"xmin", ...}}, ...], best first: each takes the best of its label that is left opposite."""
    if len(one) != len(other):
        return False
    left = [next(iter(row.items())) for row in other]
    for row in one:
        label, box = next(iter(row.items()))
        fitting = [(overlap(box, theirs), i) for i, (name, theirs) in enumerate(left) if name == label]
        best, index = max(fitting, default=(0.0, -1))
        if best < OVERLAP:
            return False
        del left[index]
    return True


def overlap(a: Mapping[str, float], b: Mapping[str, float]) -> float:
    """Intersection over union of two boxes in pixels; two equal ones without area overlap wholly."""
    width = min(a["xmax"], b["xmax"]) - max(a["xmin"], b["xmin"])
    height = min(a["ymax"], b["ymax"]) - max(a["ymin"], b["ymin"])
    shared = max(0, width) * max(0, height)
    union = area(a) + area(b) - shared
    return shared / union if union else float(a == b)


def area(box: Mapping[str, float]) -> float:
    return (box["xmax"] - box["xmin"]) * (box["ymax"] - box["ymin"])
