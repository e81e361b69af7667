"""What runs the network: ONNX Runtime on a CPU, PyTorch on CUDA. Torch is imported in `TorchRuntime` only."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import orjson

# Measured: on a CPU, company pays only while an image is small. 16 images of 28 x 28 share a run; 224 x 224 go alone.
CPU_BATCH_PIXELS = 16 * 28 * 28
CUDA_BATCH_PIXELS = 8 * 512 * 512


class OnnxRuntime:
    """`model.onnx` on the CPU. `threads` is explicit: several engines and the web process share the cores."""

    name = "onnxruntime"
    device = "cpu"
    batch_pixels = CPU_BATCH_PIXELS

    def __init__(self, folder: Path, threads: int) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # Threads that spin after a run would take the cores from the other engines and the web process.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # A plan is kept for every shape ever seen: with images of any size, memory would grow. It saves no time here.
        options.enable_mem_pattern = False
        self._session = onnxruntime.InferenceSession(
            str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"]
        )
        self._outputs = [output.name for output in self._session.get_outputs()]

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return dict(zip(self._outputs, self._session.run(self._outputs, dict(inputs)), strict=True))


class TorchRuntime:
    """The model's own weights on CUDA, in fp32: a smaller precision may answer only after a parity check of its own."""

    name = "torch"
    device = "cuda"
    batch_pixels = CUDA_BATCH_PIXELS

    def __init__(self, folder: Path) -> None:
        import torch

        from models_registry.network import load_network

        algorithm = orjson.loads((folder / "model.json").read_bytes())["algorithm"]
        self._torch = torch
        self._network = load_network(folder, algorithm).to("cuda")

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        tensors = [self._torch.from_numpy(array).to("cuda") for array in inputs.values()]
        with self._torch.inference_mode():
            outputs = self._network(*tensors)
        return {name: value.cpu().numpy() for name, value in zip(self._network.output_names, outputs, strict=True)}


def choose(folder: Path, device: str, threads: int) -> OnnxRuntime | TorchRuntime:
    """`auto` takes CUDA when this host has a card. Raises RuntimeError for "cuda" where there is none."""
    if device == "cpu" or (device == "auto" and not Path("/proc/driver/nvidia/version").exists()):
        return OnnxRuntime(folder, threads)
    import torch

    if torch.cuda.is_available():
        return TorchRuntime(folder)
    if device == "cuda":
        raise RuntimeError("This host has no CUDA device that PyTorch can use.")
    return OnnxRuntime(folder, threads)
