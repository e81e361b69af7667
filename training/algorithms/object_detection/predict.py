"""From image to answer, the same in evaluation and in the engine. numpy and Pillow only."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from training.algorithms.images import Size, resized_pixels, shared_preprocessing

PARAMETERS = ("threshold", "scores")
SHORTEST, LONGEST = (320, 800), 1333  # DETR's own are 800 and 1333


@dataclass(frozen=True)
class Detections:
    """All boxes of one image, best first, in pixels of the image: `boxes` (n, 4) float64 xmin, ymin, xmax, ymax."""

    scores: np.ndarray
    classes: np.ndarray
    boxes: np.ndarray


def preprocessing(hyperparameters: Mapping[str, Any], dataset: Mapping[str, Any]) -> dict[str, Any]:
    """What model.json stores under "preprocessing".

    The shorter side follows the dataset's median image, within 320 and 800: small images are not blown up to
    DETR's 800 pixels, which would cost six times the time and add no detail.
    """
    shortest = min(max(min(dataset["median_size"]), SHORTEST[0]), SHORTEST[1])
    return {"shortest": int(shortest), "longest": LONGEST, **shared_preprocessing()}


def input_size(size: Size, preprocessing: Mapping[str, Any]) -> Size:
    """Image (width, height) -> what it is resized to: the shorter side as wanted, the longer within its limit."""
    scale = min(preprocessing["shortest"] / min(size), preprocessing["longest"] / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def preprocess(image: Image.Image, preprocessing: Mapping[str, Any]) -> np.ndarray:
    """RGB image -> (3, H, W) float32, its proportions kept."""
    return resized_pixels(image, input_size(image.size, preprocessing), preprocessing)


def batch(arrays: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    """N arrays of `preprocess` -> `pixel_values` (N, 3, H, W) float32, padded with 0 to the largest, and
    `pixel_mask` (N, H, W) int64, 1 where the image is.

    Padding changes the answers slightly (the convolutions see its edge): whoever wants an answer that does
    not depend on its neighbours batches arrays of one shape only.
    """
    height, width = (max(array.shape[axis] for array in arrays) for axis in (1, 2))
    pixels = np.zeros((len(arrays), 3, height, width), dtype=np.float32)
    mask = np.zeros((len(arrays), height, width), dtype=np.int64)
    for i, array in enumerate(arrays):
        pixels[i, :, : array.shape[1], : array.shape[2]] = array
        mask[i, : array.shape[1], : array.shape[2]] = 1
    return {"pixel_values": pixels, "pixel_mask": mask}


def detections(logits: np.ndarray, boxes: np.ndarray, size: tuple[int, int]) -> Detections:
    """One image's output -> its boxes.

    `logits` (queries, classes + 1), the last being "no object"; `boxes` (queries, 4) as centre x, centre y, width,
    height in shares of the image; `size` the image's (width, height). Each query gives its best class.
    """
    powers = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    shares = (powers / powers.sum(axis=1, keepdims=True))[:, :-1]
    classes, scores = shares.argmax(axis=1), shares.max(axis=1)
    order = np.argsort(-scores, kind="stable")
    centre, half = boxes[order, :2].astype(np.float64), boxes[order, 2:].astype(np.float64) / 2
    corners = np.concatenate([centre - half, centre + half], axis=1).clip(0, 1)
    return Detections(scores[order], classes[order], corners * np.array([*size, *size]))


def postprocess(
    outputs: Mapping[str, np.ndarray],
    sizes: Sequence[tuple[int, int]],
    model: Mapping[str, Any],
    parameters: Mapping[str, Any],
) -> list[list[dict[str, Any]]]:
    """`logits` and `pred_boxes` -> for each image its boxes as `{label: {"xmin", "ymin", "xmax", "ymax"}}`.

    Integer pixels of the image as sent (`sizes`: width, height), inside it, best first, only those whose score
    reaches the threshold: the request's, else the one chosen at training.
    """
    threshold = parameters.get("threshold", model["threshold"])
    answers = []
    for logits, boxes, size in zip(outputs["logits"], outputs["pred_boxes"], sizes, strict=True):
        found = detections(logits, boxes, size)
        kept = int((found.scores >= threshold).sum())  # the scores fall, so these are the first ones
        answers.append([_box(found, i, model["labels"], bool(parameters.get("scores"))) for i in range(kept)])
    return answers


def _box(found: Detections, i: int, labels: Sequence[Mapping[str, Any]], with_score: bool) -> dict[str, Any]:
    corners = dict(zip(("xmin", "ymin", "xmax", "ymax"), np.rint(found.boxes[i]).astype(int).tolist(), strict=True))
    score = {"score": float(found.scores[i])} if with_score else {}
    return {labels[int(found.classes[i])]["name"]: {**corners, **score}}


def body(answers: list[Any]) -> dict[str, Any]:
    return {"predictions": answers}


def parameter_errors(parameters: Mapping[str, Any]) -> dict[str, str]:
    """What is wrong with the request's `parameters`, by name; {} when nothing is."""
    errors = {name: f"Unknown. Known: {', '.join(PARAMETERS)}." for name in parameters if name not in PARAMETERS}
    threshold = parameters.get("threshold", 0)
    if isinstance(threshold, bool) or not isinstance(threshold, int | float) or not 0 <= threshold <= 1:
        errors["threshold"] = "Must be a number from 0 to 1."
    if not isinstance(parameters.get("scores", False), bool):
        errors["scores"] = "Must be true or false."
    return errors


def input_limit(preprocessing: Mapping[str, Any]) -> tuple[int, int]:
    """The largest (height, width) that the network is given: its attention grows with the square of their product."""
    return preprocessing["longest"], preprocessing["longest"]


def tensor_specs(model: Mapping[str, Any]) -> dict[str, tuple[str, tuple[int, ...]]]:
    """What `tensors` gives: name -> (datatype of the Open Inference Protocol, shape with -1 for what varies)."""
    return {
        "boxes": ("INT32", (-1, 4)),
        "labels": ("BYTES", (-1,)),
        "scores": ("FP32", (-1,)),
        "counts": ("INT32", (-1,)),
    }


def tensors(
    outputs: Mapping[str, np.ndarray],
    sizes: Sequence[tuple[int, int]],
    model: Mapping[str, Any],
    parameters: Mapping[str, Any],
) -> dict[str, np.ndarray]:
    """The answers of `postprocess` as arrays, the boxes of all images one after another.

    `counts` (N,) int32 says how many belong to each image; `boxes` (M, 4) int32 xmin, ymin, xmax, ymax, `labels`
    (M,) str, `scores` (M,) float32.
    """
    answers = postprocess(outputs, sizes, model, {**parameters, "scores": True})
    found = [pair for boxes in answers for box in boxes for pair in box.items()]
    corners = [[box[side] for side in ("xmin", "ymin", "xmax", "ymax")] for _, box in found]
    return {
        "boxes": np.array(corners, np.int32).reshape(-1, 4),
        "labels": np.array([label for label, _ in found], object),
        "scores": np.array([box["score"] for _, box in found], np.float32),
        "counts": np.array([len(boxes) for boxes in answers], np.int32),
    }
