"""How long one image takes under each runtime and precision, and what the engine's process holds in memory then.

    python -m benchmarks.runtimes [--threads N] [--seconds S] [--folder <kept models>]

The networks are in their real size with random weights. Parity is not asked for: this is about time. Each runtime is
measured in a process of its own. "ms" is the quickest run; "processor ms" the least time that a run took of all cores
together: it hardly changes with what else the machine does.
"""

import argparse
import gc
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from endpoints.engine.plane import memory_mb
from endpoints.engine.runtimes.choice import Runtime, generated_inputs
from endpoints.engine.runtimes.onnx import OnnxRuntime
from endpoints.engine.runtimes.openvino import OpenVinoRuntime
from endpoints.memory import trim

RUNTIMES = (("onnxruntime", "fp32"), ("openvino", "fp32"), ("openvino", "bf16"))
LEAST_RUNS = 3


def load(folder: Path, name: str, precision: str, threads: int) -> Runtime:
    return OnnxRuntime(folder, threads) if name == "onnxruntime" else OpenVinoRuntime(folder, threads, precision)


def measure(folder: Path, name: str, precision: str, threads: int, seconds: float) -> dict[str, float]:
    """-> ms, processor_ms, load_seconds, memory_mb"""
    began = time.monotonic()
    runtime = load(folder, name, precision, threads)
    inputs = generated_inputs(folder)
    runtime.run(inputs)
    load_seconds = time.monotonic() - began
    runs: list[tuple[float, float]] = []
    ends = time.monotonic() + seconds
    while len(runs) < LEAST_RUNS or time.monotonic() < ends:
        wall, processor = time.monotonic(), time.process_time()
        runtime.run(inputs)
        runs.append((time.monotonic() - wall, time.process_time() - processor))
    gc.collect()
    trim()
    quickest, cheapest = (min(run[column] for run in runs) * 1000 for column in (0, 1))
    return {"ms": quickest, "processor_ms": cheapest, "load_seconds": load_seconds, "memory_mb": memory_mb()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--seconds", type=float, default=5.0, help="for each figure")
    parser.add_argument("--folder", type=Path, help="where models are made, or are from an earlier run")
    parser.add_argument("--one", nargs=3, metavar=("MODEL", "RUNTIME", "PRECISION"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        folder, name, precision = options.one
        print(json.dumps(measure(Path(folder), name, precision, options.threads, options.seconds)))
        return 0
    with tempfile.TemporaryDirectory(prefix="bench-") as home:
        table(options.folder or Path(home), options.threads, options.seconds)
    return 0


def table(home: Path, threads: int, seconds: float) -> None:
    from benchmarks.serving_cases import CASES, make_model

    print(f"One image, {threads} threads, CPU\n")
    print("| network | runtime | precision | ms | processor ms | load s | memory MB |")
    print("|---|---|---|---:|---:|---:|---:|")
    for number, case in enumerate(CASES):
        folder = home / str(number)
        if not (folder / "export_report.json").exists():
            make_model(case, folder)
        for name, precision in RUNTIMES:
            command = [sys.executable, "-m", "benchmarks.runtimes", "--one", str(folder), name, precision]
            command += ["--threads", str(threads), "--seconds", str(seconds)]
            found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
            figures = f"{found['ms']:.1f} | {found['processor_ms']:.1f} | {found['load_seconds']:.1f}"
            print(f"| {case.title} | {name} | {precision} | {figures} | {found['memory_mb']:.0f} |", flush=True)


if __name__ == "__main__":
    sys.exit(main())
