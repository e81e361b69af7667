"""How long a runtime takes for an image, noted while a model is made: a slow network need not be measured again."""

import time
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

import numpy as np

Arrays = dict[str, np.ndarray]


class Timed:
    """A runtime's `run`, and how many milliseconds its quickest call took: what else the machine does only adds."""

    def __init__(self, run: Callable[[Mapping[str, np.ndarray]], Arrays]) -> None:
        self._run = run
        self.ms = float("inf")

    def __call__(self, inputs: Mapping[str, np.ndarray]) -> Arrays:
        began = time.monotonic()
        answer = self._run(inputs)
        self.ms = min(self.ms, round((time.monotonic() - began) * 1000, 3))
        return answer


@cache
def cpu_name() -> str:
    """What the kernel calls this machine's CPU, and how many of its cores there are; "" where it says nothing."""
    try:
        rows = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    names = [row.partition(":")[2].strip() for row in rows if row.startswith("model name")]
    flags = next((row for row in rows if row.startswith("flags")), "")  # a virtual CPU's name may say little
    kinds = [kind for kind in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if f" {kind} " in f"{flags} "]
    return ", ".join([f"{len(names)} x {names[0]}", *kinds]) if names else ""
