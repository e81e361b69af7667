"""Which runtime serves a model: of those that may answer, the one that is fastest here, measured when it is loaded.
Of two that are about as fast, the one that is exact, or needs less memory. A slow network, of which a run takes a good
part of a second, is not measured again where the export did so on the same kind of CPU; of others, a runtime that the
export found to be much slower is not tried.

ONNX Runtime in fp32 may always answer. Another runtime or precision may only where the model's export found that it
answers as well (`precisions` in export_report.json, by models_registry.parity).
"""

import gc
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import orjson
from PIL import Image

from endpoints.engine.runtimes.onnx import OnnxRuntime
from endpoints.memory import trim
from models_registry.openvino_network import SHARING_PIXELS
from models_registry.speed import cpu_name
from training import algorithms

log = logging.getLogger(__name__)

SECONDS = 0.3  # measured for so long a candidate, after its warm-up; a slow network once
MOST_RUNS = 30
# Once so long has passed, what has not been tried is left out: the likely fastest are tried first.
ALL_SECONDS = 3.0
# A run that takes longer is not measured anew at each start, if the export measured it on this kind of CPU.
SLOW_MS = 150.0
# Images up to this size share runs (models_registry.openvino_network): so many count as much as one alone.
COMPANY = 8
SMALL_SIDE = 64
# So many times the quickest one's time at the export, and a runtime is not tried, if that was long enough to tell.
HOPELESS, TELLING_MS = 1.5, 5.0
CLOSE = 1.1  # times the fastest one's time: what else the machine does makes as much of a difference

Arrays = dict[str, np.ndarray]


class Runtime(Protocol):
    name: str
    device: str
    precision: str
    batch_pixels: int

    def run(self, inputs: Mapping[str, np.ndarray]) -> Arrays: ...


@dataclass
class Choice:
    """The runtime that serves. `candidates`: all that were measured, {"runtime", "precision", "ms" an image}, of small
    images the mean of one alone and one of eight together.

    `batch_pixels`: how many pixels of input pay in one run. `image_ms`: its own row's "ms". `parity`: what the export
    found about this precision, None for fp32.
    """

    name: str
    device: str
    precision: str
    batch_pixels: int
    run: Callable[[Mapping[str, np.ndarray]], Arrays]
    candidates: list[dict[str, Any]] = field(default_factory=list)
    image_ms: float = 0.0
    parity: dict[str, Any] | None = None


Candidate = tuple[str, str, Callable[[], Runtime]]  # name, precision, how to load it


def choose(folder: Path, device: str, threads: int, precision: str = "auto", name: str = "") -> Choice:
    """The model in `folder`, loaded. `device` "auto" takes CUDA when this host has a card; `precision`: "auto", "fp32".
    With the `name` of a runtime, that one in that precision, unless this host or this model cannot.

    Raises RuntimeError for "cuda" where there is none, and what the runtimes raise when none can run the model.
    """
    report = orjson.loads((folder / "export_report.json").read_bytes())
    allowed = {key: found for key, found in report.get("precisions", {}).items() if found["allowed"]}
    if precision == "fp32":
        allowed = {key: found for key, found in allowed.items() if key == "fp32"}
    cuda = _has_cuda(device)
    candidates = _cuda_candidates(folder, allowed) if cuda else _cpu_candidates(folder, threads, allowed)
    named = [candidate for candidate in candidates if candidate[:2] == (name, precision)]
    speed = report.get("speed", {})
    candidates = named or candidates
    known = known_best(candidates, speed)
    measured = [known.row] if known else []
    runtime = loaded(known.candidate, smallest_inputs(folder, report)) if known else None
    if runtime is None:
        untried = [candidate for candidate in candidates if not known or candidate is not known.candidate]
        likely, others = promising(untried or candidates, speed)
        runtime, measured = fastest(likely, generated_inputs(folder), last_resorts=others)
    key = f"cuda_{runtime.precision}" if cuda else runtime.precision
    return Choice(
        name=runtime.name,
        device=runtime.device,
        precision=runtime.precision,
        batch_pixels=runtime.batch_pixels,
        run=runtime.run,
        candidates=measured,
        image_ms=min(row["ms"] for row in measured if (row["runtime"], row["precision"]) == _key(runtime)),
        parity=None if runtime.precision == "fp32" else allowed[key],
    )


def _has_cuda(device: str) -> bool:
    if device == "cpu" or (device == "auto" and not Path("/proc/driver/nvidia/version").exists()):
        return False
    import torch

    if device == "cuda" and not torch.cuda.is_available():
        raise RuntimeError("This host has no CUDA device that PyTorch can use.")
    return torch.cuda.is_available()


def _cuda_candidates(folder: Path, allowed: Mapping[str, Any]) -> list[Candidate]:
    from endpoints.engine.runtimes.torch import TorchRuntime
    from models_registry.network import half_precision

    half = half_precision()
    precisions = [half, "fp32"] if f"cuda_{half}" in allowed else ["fp32"]
    return [("torch", precision, partial(TorchRuntime, folder, precision)) for precision in precisions]


def _cpu_candidates(folder: Path, threads: int, allowed: Mapping[str, Any]) -> list[Candidate]:
    from endpoints.engine.runtimes.openvino import OpenVinoRuntime
    from models_registry.openvino_network import has_bf16

    precisions = [precision for precision in ("bf16", "fp32") if precision in allowed]
    try:
        if "bf16" in precisions and not has_bf16():
            precisions.remove("bf16")
    except ImportError:  # there is no OpenVINO on this host
        precisions = []
    under_openvino = [("openvino", each, partial(OpenVinoRuntime, folder, threads, each)) for each in precisions]
    return [*under_openvino, ("onnxruntime", "fp32", partial(OnnxRuntime, folder, threads))]


class Known(NamedTuple):
    """A candidate that need not be measured, and its row in Choice.candidates."""

    candidate: Candidate
    row: dict[str, Any]


def export_ms(candidates: Sequence[Candidate], speed: Mapping[str, Any]) -> list[float]:
    """What an image took under each when the model was made; [] unless all were measured, and on this kind of CPU."""
    here = cpu_name()  # "" where the system does not say: then no two are known to be of one kind
    known = speed["ms"] if here and speed.get("cpu") == here else {}
    figures = [known.get(f"{name} {precision}", 0.0) for name, precision, _ in candidates]
    return figures if all(figures) else []


def promising(candidates: Sequence[Candidate], speed: Mapping[str, Any]) -> tuple[list[Candidate], list[Candidate]]:
    """-> (those that may be the fastest here by the export's figures, the others)."""
    figures = export_ms(candidates, speed)
    quickest = min(figures, default=0.0)
    if quickest < TELLING_MS:
        return list(candidates), []
    likely = [candidate for candidate, ms in zip(candidates, figures, strict=True) if ms <= HOPELESS * quickest]
    return likely, [candidate for candidate in candidates if candidate not in likely]


def known_best(candidates: Sequence[Candidate], speed: Mapping[str, Any]) -> Known | None:
    """Which one is to be taken by the export's figures, if they are slow."""
    figures = export_ms(candidates, speed)
    if not figures or min(figures) < SLOW_MS:
        return None
    taken = [number for number, ms in enumerate(figures) if is_taken(ms, figures[:number])][-1]
    name, precision, _ = candidates[taken]
    return Known(candidates[taken], {"runtime": name, "precision": precision, "ms": figures[taken]})


def loaded(candidate: Candidate, inputs: Arrays) -> Runtime | None:
    """The candidate's runtime, which has answered `inputs`; None when it cannot."""
    name, precision, load = candidate
    try:
        runtime = load()
        require_finite(runtime.run(inputs))
    except Exception as error:
        log.warning("%s in %s cannot run this model", name, precision, exc_info=error)
        return None
    trim()  # what loading took
    return runtime


def _key(runtime: Runtime) -> tuple[str, str]:
    return runtime.name, runtime.precision


def fastest(
    candidates: Sequence[Candidate],
    inputs: Arrays,
    seconds: float = ALL_SECONDS,
    last_resorts: Sequence[Candidate] = (),
) -> tuple[Runtime, list[dict[str, Any]]]:
    """Load and measure one after the other; never more than two are in memory. -> (the best, what was measured).

    `last_resorts` are tried when none of the others can run the model.
    A candidate that fails or answers with numbers that are not finite is passed over. Raises the last one's error when
    all fail: ONNX Runtime's.
    """
    best: Runtime | None = None
    measured: list[dict[str, Any]] = []
    failure: Exception | None = None
    ends = time.monotonic() + seconds
    for number, (name, precision, load) in enumerate([*candidates, *last_resorts]):
        if best is not None and (number >= len(candidates) or time.monotonic() > ends):
            break
        try:
            runtime = load()
            require_finite(runtime.run(inputs))  # the first run is slow: it is the warm-up
            ms = image_ms(runtime, inputs)
        except Exception as error:
            log.warning("%s in %s cannot run this model", name, precision, exc_info=error)
            failure = error
            continue
        if is_taken(ms, [row["ms"] for row in measured]):
            best = runtime
        measured.append({"runtime": name, "precision": precision, "ms": ms})
        del runtime
        gc.collect()
        trim()
    if best is None:
        raise failure or RuntimeError("There is no runtime to choose from.")
    return best, measured


def is_taken(ms: float, before: Sequence[float]) -> bool:
    """Whether a candidate of `ms` is taken rather than one of those before it.

    They come in the order of what they ask for: bf16 before fp32, OpenVINO, which holds the weights twice, before ONNX
    Runtime. So a later one need only be about as fast.
    """
    return ms <= CLOSE * min(before, default=ms)


def image_ms(runtime: Runtime, inputs: Arrays) -> float:
    """What one image of `inputs`, (1, ...), takes that comes alone; of small images, the mean of that and what each of
    several takes that come together. The network has been warmed up.
    """
    alone = quickest_ms(partial(runtime.run, inputs))
    height, width = inputs["pixel_values"].shape[-2:]
    if height * width >= SHARING_PIXELS or runtime.device != "cpu":
        return alone
    together = {name: np.repeat(array, COMPANY, axis=0) for name, array in inputs.items()}
    runtime.run(together)
    return round((alone + quickest_ms(partial(runtime.run, together)) / COMPANY) / 2, 3)


def require_finite(answer: Arrays) -> None:
    if not all(np.isfinite(values).all() for values in answer.values()):
        raise ValueError("The model answers with numbers that are not finite.")


def quickest_ms(work: Callable[[], Any]) -> float:
    """The least of several runs: what else the machine does can only make a run longer."""
    quickest, ends = float("inf"), time.monotonic() + SECONDS
    for _ in range(MOST_RUNS):
        began = time.monotonic()
        work()
        quickest = min(quickest, time.monotonic() - began)
        if time.monotonic() > ends:
            break
    return round(quickest * 1000, 3)


def smallest_inputs(folder: Path, report: Mapping[str, Any]) -> Arrays:
    """One image as small as the network takes it: where sizes are free, a run of it costs next to nothing."""
    sides = [SMALL_SIDE if side < 0 else side for side in report["inputs"][0]["shape"][2:]]
    pixels = np.random.default_rng(0).normal(size=(3, *sides)).astype(np.float32)
    predict = algorithms.part(orjson.loads((folder / "model.json").read_bytes())["algorithm"], "predict")
    inputs: Arrays = predict.batch([pixels])
    return inputs


def generated_inputs(folder: Path) -> Arrays:
    """The network's inputs for one generated image, always the same one."""
    manifest = orjson.loads((folder / "model.json").read_bytes())
    predict = algorithms.part(manifest["algorithm"], "predict")
    pixels = np.random.default_rng(0).integers(0, 256, (480, 640, 3), dtype=np.uint8)
    inputs: Arrays = predict.batch([predict.preprocess(Image.fromarray(pixels), manifest["preprocessing"])])
    return inputs
