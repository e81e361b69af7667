"""From image to answer, the same in evaluation and in the engine. numpy and Pillow only."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from training.algorithms.images import Size, resized_pixels, shared_preprocessing

PARAMETERS: tuple[str, ...] = ()


def preprocessing(hyperparameters: Mapping[str, Any], dataset: Mapping[str, Any]) -> dict[str, Any]:
    """What model.json stores under "preprocessing". `dataset` is dataset.json."""
    return {"input_size": hyperparameters["input_size"], **shared_preprocessing()}


def input_size(size: Size, preprocessing: Mapping[str, Any]) -> Size:
    """What an image of `size` is resized to. The sides are squashed to a square, nothing is cut off."""
    return preprocessing["input_size"], preprocessing["input_size"]


def preprocess(image: Image.Image, preprocessing: Mapping[str, Any]) -> np.ndarray:
    """RGB image -> (3, input_size, input_size) float32."""
    return resized_pixels(image, input_size(image.size, preprocessing), preprocessing)


def batch(arrays: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    """N arrays of `preprocess` -> the network's input, (N, 3, S, S) float32."""
    return {"pixel_values": np.stack(arrays)}


def probabilities(logits: np.ndarray) -> np.ndarray:
    """(N, classes) logits -> (N, classes) float64, the softmax of each row."""
    powers = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def postprocess(
    outputs: Mapping[str, np.ndarray],
    sizes: Sequence[tuple[int, int]],
    model: Mapping[str, Any],
    parameters: Mapping[str, Any],
) -> list[list[dict[str, Any]]]:
    """`logits` (N, classes) -> for each image every label with its score, highest first."""
    names = [label["name"] for label in model["labels"]]
    answers = []
    scores = probabilities(outputs["logits"])
    for row, order in zip(scores.tolist(), np.argsort(-scores, axis=1, kind="stable").tolist(), strict=True):
        answers.append([{"score": row[i], "label": names[i]} for i in order])
    return answers


def body(answers: list[list[dict[str, Any]]]) -> list[Any]:
    """One instance: its list of labels itself, as the guide shows it. Several: a list of such lists."""
    return answers[0] if len(answers) == 1 else answers


def parameter_errors(parameters: Mapping[str, Any]) -> dict[str, str]:
    """What is wrong with the request's `parameters`, by name: this algorithm takes none."""
    return dict.fromkeys(parameters, "Image classification takes no parameters.")


def input_limit(preprocessing: Mapping[str, Any]) -> tuple[int, int]:
    """The largest (height, width) that the network is given."""
    return preprocessing["input_size"], preprocessing["input_size"]


def tensor_specs(model: Mapping[str, Any]) -> dict[str, tuple[str, tuple[int, ...]]]:
    """What `tensors` gives: name -> (datatype of the Open Inference Protocol, shape with -1 for what varies)."""
    shape = (-1, len(model["labels"]))
    return {"labels": ("BYTES", shape), "scores": ("FP32", shape)}


def tensors(
    outputs: Mapping[str, np.ndarray],
    sizes: Sequence[tuple[int, int]],
    model: Mapping[str, Any],
    parameters: Mapping[str, Any],
) -> dict[str, np.ndarray]:
    """The answers of `postprocess` as arrays, highest score first: `labels` (N, classes) str, `scores` float32."""
    answers = postprocess(outputs, sizes, model, parameters)
    return {
        "labels": np.array([[row["label"] for row in rows] for rows in answers], object),
        "scores": np.array([[row["score"] for row in rows] for rows in answers], np.float32),
    }
