"""The data plane: one request's way through decoding, the model and its answer. Every protocol uses this."""

import asyncio
import base64
import io
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from PIL import Image

from endpoints.engine import runtimes
from endpoints.engine.batcher import Arrays, Batcher, Runtime
from endpoints.engine.model import ServedModel

T = TypeVar("T")


class DataPlane:
    """`threads` decode images and write answers beside the one thread that runs the model."""

    def __init__(self, model: ServedModel, runtime: Runtime, threads: int) -> None:
        self.model = model
        self.info: dict[str, Any] = {}
        self._batcher = Batcher(runtime, model.predict.batch)
        self._pool = ThreadPoolExecutor(max(2, threads), thread_name_prefix="images")

    async def infer(self, instances: Sequence[Any], parameters: Mapping[str, Any]) -> list[Any]:
        """One answer an instance. Raises EngineError. Cancelling it takes what still waits out of the queue."""
        self.model.check_parameters(parameters)
        rows, sizes = await self.run(instances)
        return await self.in_pool(self.model.answers, rows, sizes, parameters)

    async def run(self, instances: Sequence[Any]) -> tuple[list[Arrays], list[tuple[int, int]]]:
        """-> (the network's outputs for each instance, its image's (width, height)). Raises EngineError."""
        arrays, sizes = await self.in_pool(self.model.decode, instances)
        futures = self._batcher.submit(arrays)
        return await asyncio.gather(*map(asyncio.wrap_future, futures)), sizes

    async def in_pool(self, function: Callable[..., T], *arguments: Any) -> T:
        """Call what takes a while in a thread beside the model's."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, function, *arguments)

    def probe(self) -> None:
        """Answer a generated image, twice: the first run is slow. Raises when the model cannot answer it."""
        for _ in range(2):
            arrays, sizes = self.model.decode([{"data": generated_image()}])
            rows = [future.result() for future in self._batcher.submit(arrays)]
            if not all(np.isfinite(values).all() for values in rows[0].values()):
                raise RuntimeError("The model answers with numbers that are not finite.")
            self.model.answers(rows, sizes, {})

    def close(self) -> None:
        self._batcher.close()
        self._pool.shutdown()


def generated_image() -> str:
    """A 64 x 48 PNG with all colours, in base64."""
    y, x = np.mgrid[0:48, 0:64]
    pixels = np.stack([x * 4, y * 5, (x + y) * 2], axis=-1).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def load(folder: Path, device: str, threads: int) -> DataPlane:
    """Load the model of `folder`, warm it up and have it answer a probe. Raises when any of that fails."""
    began = time.monotonic()
    runtime = runtimes.choose(folder, device, threads)
    plane = DataPlane(ServedModel(folder), runtime, threads)
    plane.probe()
    plane.info = {
        "runtime": runtime.name,
        "device": runtime.device,
        "threads": threads,
        "load_seconds": round(time.monotonic() - began, 3),
    }
    return plane
