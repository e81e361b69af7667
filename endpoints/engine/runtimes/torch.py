"""PyTorch on CUDA. The one runtime that needs torch."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import orjson

BATCH_PIXELS = 8 * 512 * 512


class TorchRuntime:
    """The model's own weights in `precision`; inputs and outputs are fp32 either way. `device` "cpu" is for tests."""

    name = "torch"
    batch_pixels = BATCH_PIXELS

    def __init__(self, folder: Path, precision: str, device: str = "cuda") -> None:
        from models_registry.network import TorchNetwork, load_network

        algorithm = orjson.loads((folder / "model.json").read_bytes())["algorithm"]
        self.device, self.precision = device, precision
        self._network = TorchNetwork(load_network(folder, algorithm), precision, device)

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return self._network.run(inputs)
