"""ONNX Runtime on a CPU."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

# Measured: on a CPU in fp32, company pays only while an image is small. 16 images of 28 x 28 share a run.
BATCH_PIXELS = 16 * 28 * 28

# How long a thread looks for its next part of a run before it sleeps. To be woken costs more than most parts of a small
# network take; threads that look for longer take the cores from those that decode, and from the other engines.
SPIN_MICROSECONDS = "3"


class OnnxRuntime:
    """`model.onnx`. `threads` is explicit: several engines and the web process share the cores."""

    name = "onnxruntime"
    device = "cpu"
    precision = "fp32"
    batch_pixels = BATCH_PIXELS

    def __init__(self, folder: Path, threads: int) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.spin_duration_us", SPIN_MICROSECONDS)
        # A plan is kept for every shape ever seen: with images of any size, memory would grow. It saves no time here.
        options.enable_mem_pattern = False
        self._session = onnxruntime.InferenceSession(
            str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"]
        )
        self._outputs = [output.name for output in self._session.get_outputs()]

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return dict(zip(self._outputs, self._session.run(self._outputs, dict(inputs)), strict=True))
