"""model.onnx under OpenVINO on a CPU: what the engine runs, and what the parity check measures.

OpenVINO's Python package reports "import" to its maker when `openvino_telemetry` is installed, which pip does by
itself. The report is sent by its conversion tools, which nothing here needs: they are kept from loading.
"""

import os
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

HINTS = {"fp32": "f32", "bf16": "bf16"}
# Images smaller than this share a run, which reads the weights once for all of them. Larger ones run one at a time:
# with a free batch size, OpenVINO plans less ahead, and SegFormer takes twice to three times as long.
SHARING_PIXELS = 256 * 256
# Each size of image has kernels of its own, about 14 in DETR, that take 3 MB and 25 ms to make. These keep about the
# last 35 sizes; by OpenVINO's and oneDNN's own limits memory would grow by half a gigabyte with images of all sizes.
KEPT_KERNELS = 500
ONEDNN_KERNELS = "256"


@cache
def core() -> Any:
    """OpenVINO's core; loads the library, and none of its telemetry. Raises ImportError where it is not installed."""
    for name in ("openvino_telemetry", "openvino.tools.ovc"):
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", ONEDNN_KERNELS)
    import openvino

    return openvino.Core()


def has_bf16() -> bool:
    """Whether this CPU computes in bf16. One that does not would compute it in steps, slower than fp32."""
    return "BF16" in core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


class OpenVinoNetwork:
    """Compiled once, whatever sizes it is shown later. `precision`: "fp32" or "bf16"; inputs and outputs stay fp32.

    `threads` is explicit, and they are not tied to cores: several engines and the web process share them.
    """

    def __init__(self, onnx: Path, precision: str, threads: int) -> None:
        network = core().read_model(onnx)
        height, width = list(network.inputs[0].partial_shape)[-2:]
        free_size = height.is_dynamic or width.is_dynamic
        self._one_by_one = free_size or height.get_length() * width.get_length() >= SHARING_PIXELS
        if self._one_by_one:
            network.reshape({node.any_name: [1, *list(node.partial_shape)[1:]] for node in network.inputs})
        compiled = core().compile_model(network, "CPU", self._settings(precision, threads))
        self._outputs = {output.any_name: output for output in compiled.outputs}
        self._request = compiled.create_infer_request()

    @staticmethod
    def _settings(precision: str, threads: int) -> dict[str, Any]:
        return {
            "INFERENCE_PRECISION_HINT": HINTS[precision],
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            "PERFORMANCE_HINT": "LATENCY",
            "ENABLE_CPU_PINNING": False,
            "ENABLE_HYPER_THREADING": False,
            "CPU_RUNTIME_CACHE_CAPACITY": KEPT_KERNELS,
        }

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The network's inputs by name, N rows each -> its outputs by name. For one caller at a time."""
        rows = len(next(iter(inputs.values())))
        if rows == 1 or not self._one_by_one:
            return self._infer(inputs)
        answers = [self._infer({name: array[i : i + 1] for name, array in inputs.items()}) for i in range(rows)]
        return {name: np.concatenate([answer[name] for answer in answers]) for name in self._outputs}

    def _infer(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        results = self._request.infer(dict(inputs), share_inputs=True)
        return {name: results[output] for name, output in self._outputs.items()}
