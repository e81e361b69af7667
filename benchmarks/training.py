"""Training against the set-up of the transformers example scripts (stock_training.py): images a second.

`python -m benchmarks.training [--cuda] [--busy] [case, e.g. DETR]`. The same networks in their real size and with the
same weights, the same images, the same batch. Two processes take turns, a few steps each, so that whatever else the
machine does meets both alike; the one whose turn it is not waits. Each pair of turns gives a ratio; the table shows
the median. On a machine that is busy with other things `--busy` counts the processors' time instead of the clock's.
The stock Trainer's own default is the fused AdamW since torch 2.8; `--optim adamw_torch` takes the one before that.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from transformers import Trainer, TrainerCallback

from benchmarks import stock_training
from benchmarks.serving_cases import LABELS, ROOT, THREADS
from models_registry.export import generated_images
from training.trainer import loop
from training.trainer.__main__ import SPIN_COUNT
from training.trainer.config import Config
from training.trainer.events import Events
from training.trainer.stop import StopSignal

WARM_UP = 2  # steps: the first ones make buffers, and the product's tries the batch
IMAGES = 16  # different ones, shown again and again


class Case(NamedTuple):
    """`size` is that of the files, (width, height). Each of `rounds` is `steps` steps of one and then of the other."""

    algorithm: str
    title: str
    size: tuple[int, int]
    batch: int
    steps: int
    rounds: int
    target: float
    input_size: int = 0

    @property
    def total(self) -> int:
        return WARM_UP + self.steps * self.rounds

    def hyperparameters(self) -> dict[str, Any]:
        more = {"input_size": self.input_size} if self.input_size else {}
        epochs = {} if self.input_size else {"num_train_epochs": 1.0}
        return {"per_device_train_batch_size": self.batch, "learning_rate": 1e-4, "save_steps": 10**6, **epochs, **more}


CASES = (
    Case("image_classification", "ResNet-50, 28 x 28", (28, 28), 32, 8, 8, 1.2, input_size=28),
    Case("image_classification", "ResNet-50, 224 x 224", (500, 375), 16, 2, 5, 2.5, input_size=224),
    Case("semantic_segmentation", "SegFormer-B3, 512 x 512", (640, 480), 2, 1, 4, 2.5),
    Case("object_detection", "DETR-ResNet-50, 640 x 480", (640, 480), 4, 1, 5, 1.5),
)


def make_run(case: Case, home: Path, device: str) -> Path:
    """A generated dataset (docs/contracts.md) of exactly one epoch, and a run folder for it. -> the run folder"""
    data, run = home / "data", home / "run"
    for folder in (data / "index", data / "files", run):
        folder.mkdir(parents=True)
    lines = [json.dumps(row(case, data, number)) + "\n" for number in range(IMAGES)]
    count = (case.total + 1) * case.batch
    (data / "index" / "train.jsonl").write_text("".join((lines * (count // IMAGES + 1))[:count]))
    (data / "labels.json").write_text(json.dumps(LABELS))
    facts = {"algorithm": case.algorithm, "images": {"train": count}, "counts": {}, "median_size": list(case.size)}
    (data / "dataset.json").write_text(json.dumps(facts))
    config = {
        "algorithm": case.algorithm,
        "dataset": str(data),
        "hyperparameters": {**case.hyperparameters(), **({"num_train_epochs": 1} if case.input_size else {})},
        "initial_weights": "scratch",
        "device": device,
    }
    (run / "config.json").write_text(json.dumps(config))
    return run


def row(case: Case, data: Path, number: int) -> dict[str, Any]:
    """Write image (and mask) of this number. -> its line of the index"""
    random = np.random.default_rng(number)
    width, height = case.size
    name = f"files/{number}.{'png' if width < 100 else 'jpg'}"
    next(generated_images(1, case.size)).save(data / name)
    if case.algorithm == "image_classification":
        return {"image": name, "label": int(random.integers(len(LABELS)))}
    if case.algorithm == "semantic_segmentation":
        from PIL import Image

        blocks = random.integers(0, len(LABELS), (height // 40, width // 40), dtype=np.uint8)
        Image.fromarray(blocks.repeat(40, axis=0).repeat(40, axis=1)).save(data / f"files/mask-{number}.png")
        return {"image": name, "mask": f"files/mask-{number}.png"}
    boxes = [[*map(float, random.integers(0, 300, 2)), *map(float, random.integers(40, 180, 2))] for _ in range(6)]
    found = {"labels": random.integers(0, len(LABELS), 6).tolist(), "area": [box[2] * box[3] for box in boxes]}
    return {
        "image": name,
        "image_id": number,
        "width": width,
        "height": height,
        "boxes": boxes,
        **found,
        "iscrowd": [0] * 6,
    }


def clock() -> float:
    return time.process_time() / THREADS if os.environ["BENCH_BUSY"] == "True" else time.perf_counter()


class Turns(TrainerCallback):
    """Trains as many steps as the line says that comes in, and answers with the seconds that they took."""

    def __init__(self, answers: Any) -> None:
        self.answers, self.left, self.began = answers, 0, 0.0

    def _wait(self) -> None:
        line = sys.stdin.readline()
        if not line:
            os._exit(0)  # it was the last turn
        self.left, self.began = int(line), clock()

    def on_step_begin(self, *args: Any, **kwargs: Any) -> None:
        if not self.left:
            self._wait()

    def on_step_end(self, *args: Any, **kwargs: Any) -> None:
        self.left -= 1
        if self.left:
            return
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        print(clock() - self.began, file=self.answers, flush=True)
        self._wait()


def work(side: str, case: Case, run: Path) -> None:
    """In a process of its own: train one side, in turns."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the trainers print goes to the log
    torch.set_num_threads(THREADS)
    config = Config.read(run)
    if side == "product":
        job = loop.prepare(config, Events(run), StopSignal())
        print(f"uses {job.used['precision']}", file=answers, flush=True)
        trainer: Trainer = job.trainer
    else:
        print("uses fp32", file=answers, flush=True)
        trainer = stock_training.trainer(
            case.algorithm, config.dataset, dict(config.hyperparameters), config.device, case.total + 1
        )
    trainer.add_callback(Turns(answers))
    trainer.train()


class Side:
    """One of the two processes, from outside."""

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        self.process, self.log = process, log
        self.precision = self._line().split()[1]

    def _line(self) -> str:
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the process ended:\n{self.log.read_text()[-3000:]}")
        return line

    def train(self, steps: int) -> float:
        """-> seconds"""
        assert self.process.stdin
        print(steps, file=self.process.stdin, flush=True)
        return float(self._line())


@contextmanager
def side(name: str, case: Case, run: Path, busy: bool) -> Iterator[Side]:
    log = run / f"{name}.log"
    command = [sys.executable, "-m", "benchmarks.training", "--work", name, str(CASES.index(case)), str(run)]
    with log.open("w") as file:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={
                **os.environ,
                "GOMP_SPINCOUNT": SPIN_COUNT,
                "BENCH_BUSY": str(busy),
            },  # the trainer sets it; the other is not to spin either
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=file,
            text=True,
        )
    try:
        yield Side(process, log)
    finally:
        process.kill()
        process.wait()


def measure(case: Case, home: Path, device: str, busy: bool) -> tuple[str, list[float], list[float]]:
    """-> (the product's precision, its images a second in each round, the stock set-up's)"""
    run = make_run(case, home, device)
    with side("product", case, run, busy) as product, side("stock", case, run, busy) as stock:
        for one in (product, stock):
            one.train(WARM_UP)
        pairs = [(product.train(case.steps), stock.train(case.steps)) for _ in range(case.rounds)]
    images = case.steps * case.batch
    return product.precision, [images / pair[0] for pair in pairs], [images / pair[1] for pair in pairs]


def table(cases: list[Case], device: str, busy: bool) -> bool:
    """Print it. -> whether every target was met; on a GPU there are none."""
    where = torch.cuda.get_device_name() if device == "cuda" else f"{THREADS} threads, CPU"
    second = f"second of {THREADS} busy processors" if busy else "second"
    print(f"Training, images a {second}, median: {where}\n")
    print(f"| {'network':25} | batch | precision | stock | product | ratio | target |        |")
    print(f"|{'-' * 27}|{'-' * 6}:|{'-' * 11}|{'-' * 6}:|{'-' * 8}:|{'-' * 6}:|{'-' * 7}:|--------|")
    met = True
    for case in cases:
        with tempfile.TemporaryDirectory(prefix="bench-") as home:
            precision, product, stock = measure(case, Path(home), device, busy)
        ratio = statistics.median(one / other for one, other in zip(product, stock, strict=True))
        figures = f"{statistics.median(stock):5.2f} | {statistics.median(product):7.2f} | {ratio:5.2f}"
        reached = ratio >= case.target
        met = met and reached
        target = f"{case.target:6.1f} | {'met' if reached else 'MISSED':6}" if device == "cpu" else "       |       "
        print(f"| {case.title:25} | {case.batch:5} | {precision:9} | {figures} | {target} |", flush=True)
    print()
    return met or device == "cuda"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.training")
    parser.add_argument("--cuda", action="store_true", help="only the table of the GPU")
    parser.add_argument("--busy", action="store_true", help="count the processors' time")
    parser.add_argument("--optim", default="", help="the stock Trainer's optimiser; adamw_torch: the default of old")
    parser.add_argument("--work", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("case", nargs="?", default="", help="a part of a network's name or an algorithm; none: all")
    options = parser.parse_args([] if arguments is None else arguments)
    if options.work:
        name, number, run = options.work
        work(name, CASES[int(number)], Path(run))
        return 0
    os.environ["BENCH_OPTIM"] = options.optim  # for the processes
    cases = [case for case in CASES if options.case in f"{case.algorithm} {case.title}"]
    devices = ["cuda"] if options.cuda else ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    met = [table(cases, device, options.busy) for device in devices]
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
