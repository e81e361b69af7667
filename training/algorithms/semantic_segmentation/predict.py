"""From image to answer, the same in evaluation and in the engine. numpy and Pillow only."""

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from training.algorithms.images import IMAGENET_MEAN, IMAGENET_STD, resized_pixels

PARAMETERS = ("format",)
FORMATS = ("array", "png")
SIDE = 512  # the guide's: every image is resized to 512 x 512 and so is the answer


def preprocessing(hyperparameters: Mapping[str, Any], dataset: Mapping[str, Any]) -> dict[str, Any]:
    """What model.json stores under "preprocessing"."""
    return {"width": SIDE, "height": SIDE, "mean": list(IMAGENET_MEAN), "std": list(IMAGENET_STD)}


def preprocess(image: Image.Image, preprocessing: Mapping[str, Any]) -> np.ndarray:
    """RGB image -> (3, 512, 512) float32."""
    return resized_pixels(image, (preprocessing["width"], preprocessing["height"]), preprocessing)


def batch(arrays: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    """N arrays of `preprocess` -> the network's input, (N, 3, 512, 512) float32."""
    return {"pixel_values": np.stack(arrays)}


def _neighbours(size: int, wanted: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each of `wanted` positions: the two source positions and the second one's share (align_corners=False)."""
    position = np.maximum((np.arange(wanted, dtype=np.float32) + 0.5) * np.float32(size / wanted) - 0.5, 0)
    first = position.astype(np.int64)
    return first, np.minimum(first + 1, size - 1), (position - first).astype(np.float32)


def class_map(logits: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(classes, h, w) logits -> (height, width) int32 class indices: bilinear upsampling, then argmax.

    The same as torch's `interpolate(mode="bilinear", align_corners=False)` and argmax, but class by class
    with a running maximum, so that memory holds one upsampled class at a time, whatever the number of classes.
    """
    width, height = size
    top, bottom, down = _neighbours(logits.shape[1], height)
    left, right, across = _neighbours(logits.shape[2], width)
    down = down[:, None]
    best = np.full((height, width), -np.inf, dtype=np.float32)
    winner = np.zeros((height, width), dtype=np.int32)
    for index, plane in enumerate(logits.astype(np.float32, copy=False)):
        rows = plane[:, left] * (1 - across) + plane[:, right] * across  # (h, width)
        full = rows[top] * (1 - down) + rows[bottom] * down  # (height, width)
        better = full > best
        np.copyto(best, full, where=better)
        winner[better] = index
    return winner


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
