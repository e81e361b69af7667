"""From image to answer, the same in evaluation and in the engine. numpy and Pillow only."""

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from training.algorithms.images import Size, resized_pixels, shared_preprocessing

PARAMETERS = ("format",)
FORMATS = ("array", "png")
SIDE = 512  # the guide's: every image is resized to 512 x 512 and so is the answer
BAND = 64  # rows of the answer that are made at once: what that needs stays in the processor's cache

Neighbours = tuple[np.ndarray, np.ndarray, np.ndarray]


def preprocessing(hyperparameters: Mapping[str, Any], dataset: Mapping[str, Any]) -> dict[str, Any]:
    """What model.json stores under "preprocessing"."""
    return {"width": SIDE, "height": SIDE, **shared_preprocessing()}


def input_size(size: Size, preprocessing: Mapping[str, Any]) -> Size:
    """What an image of `size` is resized to."""
    return preprocessing["width"], preprocessing["height"]


def preprocess(image: Image.Image, preprocessing: Mapping[str, Any]) -> np.ndarray:
    """RGB image -> (3, 512, 512) float32."""
    return resized_pixels(image, input_size(image.size, preprocessing), preprocessing)


def batch(arrays: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    """N arrays of `preprocess` -> the network's input, (N, 3, 512, 512) float32."""
    return {"pixel_values": np.stack(arrays)}


def _neighbours(size: int, wanted: int) -> Neighbours:
    """For each of `wanted` positions: the two source positions and the second one's share (align_corners=False)."""
    position = np.maximum((np.arange(wanted, dtype=np.float32) + 0.5) * np.float32(size / wanted) - 0.5, 0)
    first = position.astype(np.int64)
    return first, np.minimum(first + 1, size - 1), (position - first).astype(np.float32)


def class_map(logits: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(classes, h, w) logits -> (height, width) int32 class indices: bilinear upsampling, then argmax.

    The same as torch's `interpolate(mode="bilinear", align_corners=False)` and argmax, but class by class
    with a running maximum, so that memory holds one upsampled class at a time, whatever the number of classes.
    The map is made in bands of rows, each of the classes that can win anywhere in it: often a few of many.
    """
    width, height = size
    rows, columns = (
        _neighbours(length, wanted) for length, wanted in zip(logits.shape[1:], (height, width), strict=True)
    )
    winner = np.zeros((height, width), dtype=np.int32)
    for start in range(0, height, BAND):
        top, bottom, down = (values[start : start + BAND] for values in rows)
        part = logits[:, top[0] : bottom[-1] + 1].astype(np.float32, copy=False)
        _band(part, (top - top[0], bottom - top[0], down), columns, winner[start : start + BAND])
    return winner


def _band(logits: np.ndarray, rows: Neighbours, columns: Neighbours, winner: np.ndarray) -> None:
    """Write the winners of one band, (n, width): of the few rows of `logits` that it is made of."""
    (top, bottom, down), (left, right, across) = rows, columns
    down = down[:, None]
    up, rest = 1 - down, 1 - across
    best = np.full(winner.shape, -np.inf, dtype=np.float32)
    full, lower, better = np.empty_like(best), np.empty_like(best), np.empty(best.shape, dtype=bool)
    for index in _candidates(logits):
        plane = logits[index]
        wide = plane[:, left] * rest + plane[:, right] * across  # (the few rows, width)
        np.take(wide, top, axis=0, out=full, mode="clip")  # "clip" only because it writes into `out` unbuffered
        np.take(wide, bottom, axis=0, out=lower, mode="clip")
        full *= up
        lower *= down
        full += lower
        np.greater(full, best, out=better)
        np.maximum(best, full, out=best)
        np.copyto(winner, index, where=better)


def _candidates(logits: np.ndarray) -> np.ndarray:
    """The classes that can win between the points of (classes, h, w): everywhere else another one's least is higher.

    What is interpolated lies between its neighbours, so a column's strip between two points is looked at as a whole.
    """
    low, high = logits.min(axis=1), logits.max(axis=1)  # (classes, w)
    if low.shape[1] > 1:
        low, high = np.minimum(low[:, :-1], low[:, 1:]), np.maximum(high[:, :-1], high[:, 1:])
    bar = low.max(axis=0)
    slack = 1e-5 * np.abs(bar)  # rounding may lift a value over its neighbours
    return np.flatnonzero((high >= bar - slack).any(axis=1))


def _id_type(ids: Sequence[int]) -> type[np.unsignedinteger[Any]] | type[np.int32]:
    """The smallest dtype that holds the ids: it makes the answer's JSON quicker to write."""
    if max(ids) < 2**8:
        return np.uint8
    return np.uint16 if max(ids) < 2**16 else np.int32


def _png(ids: np.ndarray) -> str:
    """(512, 512) ids -> base64 of an 8-bit or 16-bit greyscale PNG."""
    file = io.BytesIO()
    Image.fromarray(ids if ids.dtype == np.uint8 else ids.astype(np.uint16)).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode("ascii")


def postprocess(
    outputs: Mapping[str, np.ndarray],
    sizes: Sequence[tuple[int, int]],
    model: Mapping[str, Any],
    parameters: Mapping[str, Any],
) -> list[Any]:
    """`logits` (N, classes, h, w) -> for each image a (512, 512) array of class *ids*, or its base64 PNG."""
    ids = [label["id"] for label in model["labels"]]
    lookup = np.asarray(ids, dtype=_id_type(ids))
    size = (model["preprocessing"]["width"], model["preprocessing"]["height"])
    maps = [lookup[class_map(logits, size)] for logits in outputs["logits"]]
    return [_png(ids) for ids in maps] if parameters.get("format") == "png" else maps


def body(answers: list[Any]) -> dict[str, Any]:
    return {"predictions": answers}


def parameter_errors(parameters: Mapping[str, Any]) -> dict[str, str]:
    """What is wrong with the request's `parameters`, by name; {} when nothing is."""
    errors = {name: f"Unknown. Known: {', '.join(PARAMETERS)}." for name in parameters if name not in PARAMETERS}
    if "format" in parameters and parameters["format"] not in FORMATS:
        errors["format"] = f"Must be one of {', '.join(FORMATS)}."
    return errors


def input_limit(preprocessing: Mapping[str, Any]) -> tuple[int, int]:
    """The largest (height, width) that the network is given."""
    return preprocessing["height"], preprocessing["width"]


def tensor_specs(model: Mapping[str, Any]) -> dict[str, tuple[str, tuple[int, ...]]]:
    """What `tensors` gives: name -> (datatype of the Open Inference Protocol, shape with -1 for what varies)."""
    datatype = np.dtype(_id_type([label["id"] for label in model["labels"]])).name.upper()
    return {"mask": (datatype, (-1, *input_limit(model["preprocessing"])))}


def tensors(
    outputs: Mapping[str, np.ndarray],
    sizes: Sequence[tuple[int, int]],
    model: Mapping[str, Any],
    parameters: Mapping[str, Any],
) -> dict[str, np.ndarray]:
    """The answers of `postprocess` as an array: `mask` (N, 512, 512) class ids, or (N,) base64 PNGs, str."""
    answers = postprocess(outputs, sizes, model, parameters)
    return {"mask": np.array(answers, object) if isinstance(answers[0], str) else np.stack(answers)}
