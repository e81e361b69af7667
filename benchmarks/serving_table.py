"""The serving benchmark's figures: collected a round at a time, printed as tables, held against what is promised."""

import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from benchmarks.serving_cases import Case


class Figures:
    """One value a round. `rates` (requests a second) and `slowest` (p99, s) by candidate and number of callers."""

    def __init__(self) -> None:
        self.p50: dict[str, list[float]] = defaultdict(list)
        self.rates: dict[tuple[str, int], list[float]] = defaultdict(list)
        self.slowest: dict[tuple[str, int], list[float]] = defaultdict(list)
        self.refused: dict[tuple[str, int], int] = defaultdict(int)  # requests of all rounds
        self.memory: dict[str, float] = {}

    def add_one_caller(self, name: str, latencies: Sequence[float]) -> None:
        self.p50[name].append(statistics.median(latencies))
        self.slowest[name, 1].append(p99(latencies))

    def ratio(self, ours: str, theirs: str, callers: int = 8) -> list[float]:
        """Throughput, round by round; [] when one was not measured."""
        return [a / b for a, b in zip(self.rates[ours, callers], self.rates[theirs, callers], strict=False)]

    def ratio_of_one(self, ours: str, theirs: str) -> list[float]:
        """How many times quicker one caller of ours is answered."""
        return [b / a for a, b in zip(self.p50[ours], self.p50[theirs], strict=False)]

    def above_floor_ms(self, ours: str) -> list[float]:
        return [(a - b) * 1000 for a, b in zip(self.p50[ours], self.p50["floor"], strict=False)]


class Promise(NamedTuple):
    """`values` of the rounds, their median held against `bound`. Without a bound, or unmeasured, it is only told."""

    title: str
    values: Sequence[float]
    bound: float | None
    at_least: bool = True

    @property
    def is_broken(self) -> bool:
        if self.bound is None or not self.values:
            return False
        value = statistics.median(self.values)
        return value < self.bound if self.at_least else value > self.bound


def p99(values: Sequence[float]) -> float:
    return sorted(values)[min(len(values) - 1, round(0.99 * len(values)))]


def print_case(title: str, figures: Figures, notes: Iterable[str]) -> None:
    print(f"\n### {title}\n")
    for note in notes:
        print(f"- {note}")
    print(
        "\n| candidate | p50 ms, 1 caller | p99 ms | 8 callers, 1/s | p99 ms | 16 callers, 1/s | p99 ms | memory MB |"
    )
    print(f"|---|{'---:|' * 7}")
    for name in figures.p50:
        cells = [
            _cell(figures.p50[name], 1000),
            _cell(figures.slowest[name, 1], 1000),
            *(
                cell
                for callers in (8, 16)
                for cell in (_cell(figures.rates[name, callers], 1), _cell(figures.slowest[name, callers], 1000))
            ),
            f"{figures.memory[name]:.0f}" if name in figures.memory else "",
        ]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)
    for (name, callers), count in figures.refused.items():
        if count:
            print(f"\n{name} refused {count} requests of {callers} callers (429, 503): they count in no other figure.")


def _cell(values: Sequence[float], factor: float) -> str:
    """The median and, if there are several, their spread."""
    if not values:
        return ""
    middle, low, high = (f"{factor * value:.3g}" for value in (statistics.median(values), min(values), max(values)))
    return f"{middle} ({low}..{high})" if len(values) > 1 else middle


def print_promises(promises: Sequence[Promise]) -> int:
    """-> the exit code: 1 when one is broken."""
    print("\n| promised | measured | bound | |")
    print("|---|---:|---:|---|")
    for promise in promises:
        bound = "" if promise.bound is None else f"{'>=' if promise.at_least else '<='} {promise.bound:g}"
        verdict = "" if promise.bound is None else "BROKEN" if promise.is_broken else "kept"
        verdict = verdict if promise.values else "not measured"
        print(f"| {promise.title} | {_cell(promise.values, 1)} | {bound} | {verdict} |")
    return int(any(promise.is_broken for promise in promises))


def promises(case: Case, figures: Figures, ours: str, precision: str) -> list[Promise]:
    """What the table promises of one case; `ours` is the candidate that is held to it."""
    eager, pipeline = case.ratios if precision == "fp32" else case.ratios_half
    found = [
        Promise(
            f"{case.title}: 8 callers, {ours} / LitServe with the eager model",
            figures.ratio(ours, "litserve-eager"),
            eager,
        ),
        Promise(
            f"{case.title}: 8 callers, {ours} / the same with our decoder",
            figures.ratio(ours, "litserve-decoder"),
            None,
        ),
        Promise(
            f"{case.title}: 8 callers, {ours} / FastAPI with the pipeline", figures.ratio(ours, "fastapi"), pipeline
        ),
    ]
    return _of_small_images(case.title, figures, ours, found) if case.key == "resnet28" else found


def _of_small_images(title: str, figures: Figures, ours: str, found: Sequence[Promise]) -> list[Promise]:
    """What is promised of the smallest network, where a server's own work counts most, around what is of all."""
    names = sorted({"engine", ours})
    alone = figures.ratio_of_one(ours, "litserve-runtime")
    together = figures.ratio(ours, "litserve-runtime")
    return [
        *(
            Promise(f"{title}: p50 of one caller, {name} - floor, ms", figures.above_floor_ms(name), 2, at_least=False)
            for name in names
        ),
        *(
            Promise(f"{title}: 16 callers, {name} / the floor's best batch", figures.ratio(name, "floor", 16), 0.85)
            for name in names
        ),
        *found,
        Promise(f"{title}: p50 of one caller, LitServe in our runtime / {ours}", alone, 1.2),
        Promise(f"{title}: 8 callers, {ours} / LitServe in our runtime", together, 1.2),
        Promise(f"{title}: memory of the idle engine, MB", [figures.memory["engine"]], 350, at_least=False),
    ]
