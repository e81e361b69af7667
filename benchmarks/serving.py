"""The engine against eager PyTorch: the same networks, in their real size, with random weights.

The engine's time is a whole request as a client sees it: base64 JSON over HTTP, decoding, the network, the
guide's JSON back. PyTorch's is the forward pass alone, in evaluation mode, on the same number of threads. The
two take turns in one run, so that whatever else the machine does meets both alike.
"""

import base64
import http.client
import io
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch

from models_registry.export import generated_images
from models_registry.network import Network, load_network
from training import algorithms
from training.trainer.weights import Weights

ROOT = Path(__file__).resolve().parents[1]
LABELS = [{"id": i, "name": f"class {i}"} for i in range(10)]
THREADS = int(os.environ.get("BENCH_THREADS", "0")) or len(os.sched_getaffinity(0))
PAUSE_SECONDS = 0.005  # between two measurements: what the last one left running comes to rest
PROMISED_RATIO = 0.5  # of ResNet-50 at 28 x 28


class Case(NamedTuple):
    algorithm: str
    title: str
    image: tuple[int, int]  # width, height
    rounds: int


CASES = (
    Case("image_classification", "ResNet-50, 28 x 28", (28, 28), 200),
    Case("semantic_segmentation", "SegFormer-B3, 512 x 512", (640, 480), 4),
    Case("object_detection", "DETR-ResNet-50, 416 x 416", (416, 416), 8),
)


class Client:
    """One connection to the engine, kept between requests."""

    def __init__(self, path: Path) -> None:
        self._connection = http.client.HTTPConnection("engine", timeout=120)
        self._connection.sock = socket.socket(socket.AF_UNIX)
        self._connection.sock.connect(str(path))

    def infer(self, body: str) -> bytes:
        self._connection.request("POST", "/inference", body, {"Content-Type": "application/json"})
        response = self._connection.getresponse()
        answer = response.read()
        if response.status != 200:
            raise RuntimeError(answer.decode())
        return answer


def make_model(case: Case, folder: Path) -> None:
    """A model folder of the real architecture with random weights, exported as the registry does it."""
    torch.manual_seed(0)
    hyperparameters = algorithms.get(case.algorithm).defaults()
    predict = algorithms.part(case.algorithm, "predict")
    manifest = {
        "algorithm": case.algorithm,
        "labels": LABELS,
        "preprocessing": predict.preprocessing(hyperparameters, {"median_size": list(case.image)}),
        "threshold": hyperparameters.get("threshold"),
    }
    algorithms.part(case.algorithm, "train").build({}, LABELS, Weights("scratch")).save_pretrained(folder)
    (folder / "model.json").write_text(json.dumps(manifest))
    with (folder / "export.log").open("wb") as log:
        command = [sys.executable, "-m", "models_registry.export", str(folder), ""]
        subprocess.run(command, cwd=ROOT, stdout=log, stderr=log, check=True)


@contextmanager
def engine(folder: Path) -> Iterator[Client]:
    """The engine of a model folder, ready."""
    path = folder / "engine.sock"
    command = [sys.executable, "-m", "endpoints.engine", "--model", str(folder), "--socket", str(path)]
    process = subprocess.Popen([*command, "--name", "model", "--threads", str(THREADS), "--device", "cpu"], cwd=ROOT)
    try:
        while not path.exists() or not is_ready(path):
            if process.poll() is not None:
                raise RuntimeError("the engine did not start")
            time.sleep(0.05)
        yield Client(path)
    finally:
        process.terminate()
        process.wait()


def is_ready(path: Path) -> bool:
    connection = http.client.HTTPConnection("engine")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(str(path))
    connection.request("GET", "/-/ready")
    return connection.getresponse().status == 200


def timed(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    seconds = time.perf_counter() - began
    time.sleep(PAUSE_SECONDS)
    return seconds


def measure(case: Case, folder: Path) -> tuple[list[float], list[float]]:
    """-> (seconds of each request to the engine, seconds of each forward pass in PyTorch)"""
    make_model(case, folder)
    network = load_network(folder, case.algorithm)
    image = next(generated_images(1, case.image))
    file = io.BytesIO()
    image.save(file, "PNG")
    body = json.dumps({"instances": [{"data": base64.b64encode(file.getvalue()).decode()}]})
    with engine(folder) as client:
        forward = forward_of(network, case, folder)
        for warm_up in (forward, lambda: client.infer(body)) * 2:
            warm_up()
        pairs = [(timed(lambda: client.infer(body)), timed(forward)) for _ in range(case.rounds)]
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]


def forward_of(network: Network, case: Case, folder: Path) -> Callable[[], Any]:
    """The eager forward pass of the case's image, preprocessed beforehand."""
    predict = algorithms.part(case.algorithm, "predict")
    preprocessing = json.loads((folder / "model.json").read_text())["preprocessing"]
    arrays = predict.batch([predict.preprocess(next(generated_images(1, case.image)), preprocessing)])
    tensors = [torch.from_numpy(array) for array in arrays.values()]

    def forward() -> Any:
        with torch.inference_mode():
            return network(*tensors)

    return forward


def main() -> int:
    torch.set_num_threads(THREADS)
    print(f"One request to the engine against PyTorch's forward pass, median, {THREADS} threads, CPU\n")
    print(f"| {'network':28} | {'rounds':>6} | {'engine ms':>9} | {'PyTorch ms':>10} | {'ratio':>5} |")
    print(f"|{'-' * 30}|{'-' * 7}:|{'-' * 10}:|{'-' * 11}:|{'-' * 6}:|")
    ratios = {}
    with tempfile.TemporaryDirectory(prefix="bench-") as home:
        for case in CASES:
            engine_seconds, torch_seconds = map(statistics.median, measure(case, Path(home, case.algorithm)))
            ratios[case.algorithm] = engine_seconds / torch_seconds
            row = f"| {case.title:28} | {case.rounds:6} | {engine_seconds * 1000:9.1f} | {torch_seconds * 1000:10.1f} |"
            print(f"{row} {ratios[case.algorithm]:5.2f} |", flush=True)
    kept = ratios["image_classification"] < PROMISED_RATIO
    print(f"\nPromise: ResNet-50 at 28 x 28 below {PROMISED_RATIO} of PyTorch's time: {'kept' if kept else 'BROKEN'}")
    return 0 if kept else 1
