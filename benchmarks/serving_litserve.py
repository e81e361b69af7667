"""A model folder under LitServe, as its documentation shows a batched API. Its worker process imports this module."""

import base64
import io
from pathlib import Path
from typing import Any

import litserve
import numpy as np
from PIL import Image


class ModelApi(litserve.LitAPI):
    """Our own decoding and writing. `eager`: the network in PyTorch; else our runtime with our exported model."""

    def __init__(self, folder: Path, eager: bool, **options: Any) -> None:
        super().__init__(**options)
        self._folder, self._eager = folder, eager

    def setup(self, device: str) -> None:
        from benchmarks.serving_servers import Eager, our_runtime
        from endpoints.engine.model import ServedModel

        self.model = ServedModel(self._folder)
        self.runtime = Eager(self._folder) if self._eager else our_runtime(self._folder)

    def decode_request(self, request: dict[str, Any]) -> tuple[np.ndarray, tuple[int, int]]:
        arrays, sizes = self.model.decode(request["instances"])
        return arrays[0], sizes[0]

    def batch(self, inputs: list[tuple[np.ndarray, tuple[int, int]]]) -> Any:
        return self.model.predict.batch([array for array, _ in inputs]), [size for _, size in inputs]

    def predict(self, batch: Any) -> list[Any]:
        inputs, sizes = batch
        answers: list[Any] = self.model.predict.postprocess(self.runtime.run(inputs), sizes, self.model.manifest, {})
        return answers

    def unbatch(self, output: list[Any]) -> list[Any]:
        return output

    def encode_response(self, output: Any) -> Any:
        value = self.model.predict.body([output.tolist() if isinstance(output, np.ndarray) else output])
        return value


class StockApi(ModelApi):
    """The same, but decoded by Pillow and prepared by transformers' image processor, as their documentation has it."""

    def setup(self, device: str) -> None:
        from benchmarks.serving_servers import image_processor

        super().setup(device)
        self.processor = image_processor(self.model.manifest)

    def decode_request(self, request: dict[str, Any]) -> tuple[np.ndarray, tuple[int, int]]:
        image = Image.open(io.BytesIO(base64.b64decode(request["instances"][0]["data"]))).convert("RGB")
        return self.processor(image, return_tensors="np")["pixel_values"][0], image.size
