"""Our stage URL against what else serves these models on one machine; and against the floor, which no server can pass.

All candidates compute the same networks, in their real size with random weights, and answer the guide's request with a
100 KB JPEG. Each is a process of its own; they take turns in every round, in another order each time, with fixed counts
of requests, and whoever is not measured is stopped. A figure is the median of the rounds, behind it their spread.

- floor: decode, preprocess and the runtime's bare forward in one process, without any server
- engine: over its Unix socket; web: the whole way of a stage URL, over TCP through the console's web application
- the others: see `serving_servers`
"""

import argparse
import json
import signal
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.serving_candidates import SERVERS, Candidate, candidates
from benchmarks.serving_cases import CASES, THREADS, Case, make_model, photo, request_body
from benchmarks.serving_exactness import equal_share
from benchmarks.serving_load import load
from benchmarks.serving_table import Figures, Promise, p99, print_case, print_promises, promises
from endpoints.engine.runtimes.choice import generated_inputs
from models_registry.openvino_network import OpenVinoNetwork, has_bf16
from models_registry.speed import Timed

__all__ = ["CASES", "make_model"]

PHOTOS = 4
FLOOR_BATCHES = (1, 2, 4, 8, 16, 32)
MOST_START_SECONDS = 5


class Plan:
    """What one case asks: how many requests a round of one caller and of several, and with which bodies."""

    def __init__(self, case: Case, folder: Path, quick: bool) -> None:
        divisor = 20 if quick else 1
        self.alone, self.together = max(3, case.requests[0] // divisor), max(16, case.requests[1] // divisor)
        self.photos = [photo(case.image, seed) for seed in range(PHOTOS)]
        self.file = folder / "request.json"
        self.file.write_bytes(request_body(self.photos[0]))

    def bodies(self, count: int) -> list[bytes]:
        different = [request_body(image) for image in self.photos]
        return [different[index % len(different)] for index in range(count)]


def measure_floor(floor: Candidate, plan: Plan, figures: Figures) -> None:
    with floor.running():
        floor.ask([1, 2, str(plan.file)])
        figures.add_one_caller("floor", floor.ask([1, plan.alone, str(plan.file)]))
        best = 0.0
        for size in FLOOR_BATCHES:
            if 2 * size > plan.together:
                break
            seconds = floor.ask([size, max(1, plan.together // size // 4), str(plan.file)])
            best = max(best, size / statistics.median(seconds))
        figures.rates["floor", 16].append(best)


def measure_server(server: Candidate, plan: Plan, figures: Figures) -> None:
    with server.running():
        load(server.address, plan.bodies(2))
        figures.add_one_caller(server.name, load(server.address, plan.bodies(plan.alone)).latencies)
        for callers in (8, 16) if server.name in {"engine", "web"} else (8,):
            done = load(server.address, plan.bodies(plan.together), callers)
            figures.rates[server.name, callers].append(done.per_second)
            figures.slowest[server.name, callers].append(p99(done.latencies))
            figures.refused[server.name, callers] += done.refused


def run_case(case: Case, folder: Path, options: argparse.Namespace) -> list[Promise]:
    """Measure, print the case's table. -> what it says of the promises."""
    if not (folder / "export_report.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        make_model(case, folder)
    allow_bf16(folder, options.bf16)
    plan = Plan(case, folder, options.quick)
    figures = Figures()
    names = ("engine", "floor", "eager", *(name for name in options.servers if name != "engine"))
    with candidates(folder, names, plan.bodies(1)[0]) as found:
        figures.memory = {name: candidate.memory_mb for name, candidate in found.items()}
        equal = equal_share(found["eager"], found["engine"], case, plan.photos, folder)
        for turn in range(options.rounds):
            measure_floor(found["floor"], plan, figures)
            for name in rotated(options.servers, turn):
                measure_server(found[name], plan, figures)
        info, started = found["engine"].info, found["engine"].started
    notes = [
        f"{options.rounds} rounds, {plan.alone} requests of one caller, {plan.together} of several; JPEG of "
        f"{case.image[0]} x {case.image[1]}, {len(plan.photos[0]) / 1000:.0f} kB",
        "engine: " + ", ".join(f"{name} {value}" for name, value in info.items() if name not in {"candidates", "pid"}),
    ]
    print_case(case.title, figures, notes)
    exact = info.get("precision", "fp32") == "fp32"
    return [
        *promises(case, figures, "web" if "web" in options.servers else "engine", info.get("precision", "fp32")),
        # Where precision was traded, labels whose scores are nearly the same may change places.
        Promise(f"{case.title}: answers equal to eager PyTorch's, share", [equal], 1.0 if exact else None),
        Promise(f"{case.title}: engine's start to its first answer, s", [started], MOST_START_SECONDS, at_least=False),
    ]


def allow_bf16(folder: Path, allowed: bool) -> None:
    """As the parity check would on a trained model's validation images: random weights have no metric to compare."""
    file = folder / "export_report.json"
    report = json.loads(file.read_text())
    found = {"runtime": "openvino", "device": "cpu", "precision": "bf16", "allowed": allowed, "reason": None}
    times = {name: ms for name, ms in report["speed"]["ms"].items() if name != "openvino bf16"}
    if allowed and has_bf16():
        run, inputs = Timed(OpenVinoNetwork(folder / "model.onnx", "bf16", THREADS).run), generated_inputs(folder)
        for _ in range(3):
            run(inputs)
        times["openvino bf16"] = run.ms
    precisions = {**report["precisions"], "bf16": found}
    file.write_text(json.dumps({**report, "precisions": precisions, "speed": {**report["speed"], "ms": times}}))


def rotated(names: Sequence[str], turn: int) -> list[str]:
    start = turn % len(names)
    return [*names[start:], *names[:start]]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a twentieth of the requests, one round: to try it out")
    parser.add_argument("--rounds", type=int, default=0, help="5 unless --quick")
    parser.add_argument("--only", default="", help=f"of {', '.join(case.key for case in CASES)}, separated by commas")
    parser.add_argument("--servers", default=",".join(SERVERS), help="the engine must be among them")
    parser.add_argument(
        "--bf16", action="store_true", help="where the CPU has it, as if the parity check had allowed it"
    )
    parser.add_argument("--models", type=Path, help="keep the models in this folder for another run")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(1))  # leave by way of ending the candidates
    options.rounds = options.rounds or (1 if options.quick else 5)
    options.servers = tuple(options.servers.split(","))
    chosen = [case for case in CASES if not options.only or case.key in options.only.split(",")]
    with tempfile.TemporaryDirectory(prefix="bench-") as temporary:
        home = options.models or Path(temporary)
        found = [promise for case in chosen for promise in run_case(case, home / case.key, options)]
    return print_promises(found)


if __name__ == "__main__":
    sys.exit(main())
