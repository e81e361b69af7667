"""A model folder as the engine sees it: how its images are decoded and how its answers are made.

The work itself is the algorithm's `predict` module, which evaluation shares.
"""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pybase64
from PIL import Image

from endpoints.engine.errors import (
    ImageTooLarge,
    InvalidInstances,
    InvalidParameter,
    NotAnImage,
    NotBase64,
    TooManyInstances,
    UnknownParameter,
)
from endpoints.engine.instances import ImageFile, NetworkInput, Pixels
from training import algorithms
from training.algorithms.images import TooManyPixels, load_pixels

MAX_PIXELS = 100_000_000  # of one image: a file of a few kB may decode to gigabytes
QUICK_BYTES, QUICK_PIXELS, QUICK_FORMATS = 2**14, 128 * 128, ("PNG", "JPEG")  # decoded in about 0.2 ms
MAX_REQUEST_BYTES = 256 * 2**20  # of all decoded inputs of one request


class ServedModel:
    """`manifest` is the folder's model.json; `tensors` the network's inputs and outputs (export_report.json)."""

    def __init__(self, folder: Path, *, max_request_bytes: int = MAX_REQUEST_BYTES) -> None:
        self._max_request_bytes = max_request_bytes
        self.manifest: dict[str, Any] = orjson.loads((folder / "model.json").read_bytes())
        report = orjson.loads((folder / "export_report.json").read_bytes())
        self.tensors: dict[str, Any] = {"inputs": report["inputs"], "outputs": report["outputs"]}
        self.predict = algorithms.part(self.manifest["algorithm"], "predict")

    def check_parameters(self, parameters: Mapping[str, Any]) -> None:
        """Raises UnknownParameter or InvalidParameter, by name."""
        for name, problem in self.predict.parameter_errors(parameters).items():
            known = name in self.predict.PARAMETERS
            raise (InvalidParameter if known else UnknownParameter)(f"parameters.{name}", problem)

    def decode(self, instances: Sequence[Any]) -> tuple[list[np.ndarray], list[tuple[int, int]]]:
        """-> (the network's input (3, H, W) of each instance, its image's (width, height)).

        An instance is the guide's object, or one of `instances`' kinds.
        """
        arrays: list[np.ndarray] = []
        sizes: list[tuple[int, int]] = []
        total = 0
        for index, instance in enumerate(instances):
            array, size = self._input(instance, index)
            total += array.nbytes
            if total > self._max_request_bytes:
                problem = f"This model takes at most {index} of these images in one request."
                raise TooManyInstances(getattr(instance, "field", f"instances[{index}]"), problem)
            arrays.append(array)
            sizes.append(size)
        return arrays, sizes

    def _input(self, instance: Any, index: int) -> tuple[np.ndarray, tuple[int, int]]:
        """-> (the network's input, the image's (width, height)). Raises what `_bytes` and `_load` raise."""
        if isinstance(instance, NetworkInput):
            return instance.array, instance.array.shape[:0:-1]
        if isinstance(instance, Pixels):
            image = Image.fromarray(instance.array)
            return self.predict.preprocess(image, self.manifest["preprocessing"]), image.size
        if isinstance(instance, ImageFile):
            return self._load(instance.data, instance.field)
        data, field = _bytes(instance, index)
        return self._load(data, field)

    def _load(self, data: bytes, field: str) -> tuple[np.ndarray, tuple[int, int]]:
        """Raises NotAnImage or ImageTooLarge. The size is looked at before a pixel is decoded."""
        try:
            return load_pixels(io.BytesIO(data), self.predict.input_size, self.manifest["preprocessing"], MAX_PIXELS)
        except TooManyPixels as error:
            raise _too_large(field, str(error)) from error
        except Image.DecompressionBombError as error:
            raise _too_large(field, "The image") from error
        except Exception as error:  # Pillow's many decoders raise whatever they like on a broken file
            raise NotAnImage(field, "Is not an image that can be read.") from error

    def is_quickly_decoded(self, instances: Sequence[Any]) -> bool:
        """Whether handing the work to a thread would take longer: one small file of a small image, by its own words."""
        if len(instances) != 1:
            return False
        if isinstance(instances[0], NetworkInput):
            return True
        if isinstance(instances[0], Pixels):
            return instances[0].array.shape[0] * instances[0].array.shape[1] <= QUICK_PIXELS
        if isinstance(instances[0], ImageFile):
            return _is_small(instances[0].data)
        return isinstance(instances[0], dict) and _is_small(instances[0].get(_key(instances[0])))

    def answers(
        self,
        rows: Sequence[Mapping[str, np.ndarray]],
        sizes: Sequence[tuple[int, int]],
        parameters: Mapping[str, Any],
    ) -> list[Any]:
        """The rows of the network's outputs, one an instance -> one answer an instance, in the guide's format."""
        outputs = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
        answers: list[Any] = self.predict.postprocess(outputs, sizes, self.manifest, parameters)
        return answers


def _key(instance: Mapping[str, Any]) -> str:
    """Under which name an instance has its file: the guide's, or the one that V1's clients give to what is no JSON."""
    return next((key for key in ("data", "b64") if key in instance), "")


def _bytes(instance: Any, index: int) -> tuple[bytes, str]:
    """-> (the image file of one instance, its field). Raises InvalidInstances or NotBase64, naming its index."""
    key = _key(instance) if isinstance(instance, dict) else ""
    if not key:
        raise InvalidInstances(f"instances[{index}]", 'Must be an object with "data".')
    field, text = f"instances[{index}].{key}", instance[key]
    if not isinstance(text, str):
        raise NotBase64(field, "Must be a string: the image file in base64.")
    return from_base64(text, field), field


def from_base64(text: str, field: str) -> bytes:
    """Raises NotBase64."""
    try:
        return pybase64.b64decode(text, validate=True)
    except ValueError:
        pass  # command-line tools break base64 into lines; everything else that is foreign to it is an error
    try:
        return pybase64.b64decode("".join(text.split()), validate=True)
    except ValueError as error:
        raise NotBase64(field, "Is not base64.") from error


def _is_small(data: Any) -> bool:
    """Whether an image file, or its base64, is a small one of a small image. What cannot be read is none."""
    if not isinstance(data, str | bytes) or len(data) > QUICK_BYTES:
        return False
    try:
        file = pybase64.b64decode(data) if isinstance(data, str) else data
        with Image.open(io.BytesIO(file), formats=QUICK_FORMATS) as image:
            return image.width * image.height <= QUICK_PIXELS
    except Exception:  # as in _load
        return False


def _too_large(field: str, what: str) -> ImageTooLarge:
    return ImageTooLarge(field, f"{what}: more than the {MAX_PIXELS} pixels that an image may have.")
