"""Which runtimes and precisions may answer in place of fp32 under ONNX Runtime; measured when a model is made.

OpenVINO in fp32 computes the same in another order: it may answer where its numbers agree. A smaller precision may only
where the metric by which the model is judged stays within 0.1 points of fp32's, on the model's own validation images.
Imports torch.
"""

import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch

from models_registry import openvino_network
from models_registry.network import TorchNetwork, half_precision, load_network
from models_registry.openvino_network import OpenVinoNetwork
from models_registry.speed import Timed
from training import algorithms
from training.algorithms.base import Message, gettext_noop

MOST_IMAGES = 64
LEAST_IMAGES = 8  # fewer say nothing; and so many are looked at even when the time is up
SECONDS = 120.0
LARGEST_METRIC_DIFFERENCE = 0.001
# fp32 runtimes agree to about 1e-6. One that is further off than this is wrong, not imprecise.
LARGEST_RELATIVE_DIFFERENCE = 1e-2

Arrays = dict[str, np.ndarray]
Run = Callable[[Mapping[str, np.ndarray]], Arrays]


@dataclass(frozen=True)
class Contender:
    """What would be quicker than fp32 under ONNX Runtime. `load` raises where it cannot run the model."""

    runtime: str
    device: str
    precision: str
    load: Callable[[], Run]


class NotComparable(Exception):
    def __init__(self, text: str, **params: Any) -> None:
        super().__init__(text)
        self.message = Message(text, params)


def precisions(
    folder: Path, manifest: Mapping[str, Any], dataset: Path | None, fp32: Run, samples: Sequence[Arrays]
) -> dict[str, dict[str, Any]]:
    """What export_report.json holds under "precisions" (docs/contracts.md); on CUDA a key is "cuda_" and the precision.

    `fp32` is the exported network under ONNX Runtime; `samples` are inputs of one image each.
    """
    threads = torch.get_num_threads()
    cpu = {p: Contender("openvino", "cpu", p, partial(_openvino, folder, p, threads)) for p in ("fp32", "bf16")}
    metric = partial(same_metric, manifest=manifest, dataset=dataset, fp32=fp32)
    found = {"fp32": checked(cpu["fp32"], partial(same_numbers, fp32=fp32, samples=samples))}
    found["bf16"] = checked(cpu["bf16"], metric)
    if torch.cuda.is_available():
        half = half_precision()
        found[f"cuda_{half}"] = checked(
            Contender("torch", "cuda", half, partial(_cuda, folder, manifest, half)), metric
        )
    return found


def _openvino(folder: Path, precision: str, threads: int) -> Run:
    if precision == "bf16" and not openvino_network.has_bf16():
        raise NotComparable(gettext_noop("The machine that made this model does not compute in bf16."))
    return OpenVinoNetwork(folder / "model.onnx", precision, threads).run


def _cuda(folder: Path, manifest: Mapping[str, Any], precision: str) -> Run:
    return TorchNetwork(load_network(folder, manifest["algorithm"]), precision, "cuda").run


def checked(contender: Contender, compare: Callable[[Run], dict[str, Any]]) -> dict[str, Any]:
    """The comparison's figures, and whether it may answer: `reason` says why not. A contender that fails may not.

    `ms` is the time of the quickest image.
    """
    told = {"runtime": contender.runtime, "device": contender.device, "precision": contender.precision}
    try:
        run = Timed(contender.load())
        return told | {"reason": None} | compare(run) | {"ms": run.ms}
    except NotComparable as refusal:
        reason = refusal.message
    except Exception as error:
        traceback.print_exc()  # into the export's log
        detail = f"{type(error).__name__}: {error}".splitlines()[0]
        reason = Message(gettext_noop("It cannot run this model: %(detail)s"), {"detail": detail})
    return told | {"images": 0, "allowed": False, "reason": reason.as_json()}


def same_numbers(run: Run, *, fp32: Run, samples: Sequence[Arrays]) -> dict[str, Any]:
    """The largest difference of any output, relative to the output's largest number."""
    worst = 0.0
    for inputs in samples:
        answer = finite(run(inputs))
        for name, values in fp32(inputs).items():
            scale = max(float(np.abs(values).max()), 1e-6)
            worst = max(worst, float(np.abs(answer[name] - values).max()) / scale)
    if worst > LARGEST_RELATIVE_DIFFERENCE:
        raise NotComparable(gettext_noop("Its answers are %(share)s off."), share=f"{worst:.1%}")
    return {"images": len(samples), "largest_relative_difference": worst, "allowed": True}


def same_metric(run: Run, *, manifest: Mapping[str, Any], dataset: Path | None, fp32: Run) -> dict[str, Any]:
    """The model's own metric by both, on up to 64 validation images or for about two minutes."""
    name = algorithms.get(manifest["algorithm"]).best_metric
    train = algorithms.part(manifest["algorithm"], "train")
    evaluators = [train.Evaluator(manifest["labels"], manifest["preprocessing"]) for _ in range(2)]
    images, deadline = 0, time.monotonic() + SECONDS
    for inputs, labels, record in validation_rows(train, manifest, dataset):
        for evaluator, answers in zip(evaluators, (fp32, run), strict=True):
            evaluator.update(finite(answers(inputs)), labels, [record])
        images += 1
        if time.monotonic() > deadline and images >= LEAST_IMAGES:
            break
    expected, value = (float(evaluator.compute()[name]) for evaluator in evaluators)
    if expected <= 0:  # COCO's "undefined" is -1
        raise NotComparable(
            gettext_noop("The model finds nothing in the validation images: there is nothing to compare.")
        )
    return {
        "metric": name,
        "fp32": expected,
        "value": value,
        "difference": value - expected,
        "images": images,
        "allowed": abs(value - expected) <= LARGEST_METRIC_DIFFERENCE,
    }


def validation_rows(
    train: ModuleType, manifest: Mapping[str, Any], dataset: Path | None
) -> Iterator[tuple[Arrays, Any, dict[str, Any]]]:
    """Evenly spread validation images, one at a time: network inputs, labels as `train.collate` has them, record."""
    if dataset is None:
        raise NotComparable(gettext_noop("The dataset has been deleted: there are no validation images to compare on."))
    data = train.Data(dataset, "validation", manifest["preprocessing"], manifest["labels"])
    if len(data) < LEAST_IMAGES:
        text = gettext_noop("The dataset has %(number)s validation images: too few to compare on.")
        raise NotComparable(text, number=len(data))
    for index in np.linspace(0, len(data) - 1, min(len(data), MOST_IMAGES)).astype(int):
        batch = train.collate([data[int(index)]])
        labels = batch.pop("labels")
        yield {name: tensor.numpy() for name, tensor in batch.items()}, labels, data.records[int(index)]


def finite(answer: Arrays) -> Arrays:
    """Raises NotComparable when a number overflowed."""
    if not all(np.isfinite(values).all() for values in answer.values()):
        raise NotComparable(gettext_noop("It answers with numbers that are not finite."))
    return answer
