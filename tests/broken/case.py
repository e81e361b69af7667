"""One zip of the corpus: how it is made and what the console must say about it."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.corpus import Files

CLASSIFICATION, SEGMENTATION, DETECTION = "image_classification", "semantic_segmentation", "object_detection"


@dataclass(frozen=True)
class Expected:
    """A problem that the report must have. `words`: each must be in its message (or in what it says about mending)."""

    level: str
    code: str
    file: str
    words: tuple[str, ...]

    @property
    def key(self) -> tuple[str, str, str]:
        return self.level, self.code, self.file

    def __str__(self) -> str:
        return f"{self.level} {self.code} {self.file!r} {' '.join(map(repr, self.words))}"


def error(code: str, file: str, *words: str) -> Expected:
    return Expected("error", code, file, words)


def warning(code: str, file: str, *words: str) -> Expected:
    return Expected("warning", code, file, words)


def fact(code: str, file: str, *words: str) -> Expected:
    return Expected("fact", code, file, words)


@dataclass(frozen=True)
class Case:
    """`make` gives the zip's bytes, or the files to put into one. `settings` are the console's limits for it.

    `problems` is every error and every warning of the report, in any order; facts may be there beside those named.
    """

    name: str
    algorithm: str
    make: Callable[[], Files | bytes]
    problems: tuple[Expected, ...] = ()
    settings: Mapping[str, int] = field(default_factory=dict)

    @property
    def status(self) -> str:
        return "INVALID" if any(problem.level == "error" for problem in self.problems) else "READY"

    @property
    def mendable(self) -> bool:
        """Whether a mend is expected to be offered, and nothing stands that only a person can mend."""
        mends = [any("[mend:" in word for word in problem.words) for problem in self.problems]
        levels = [problem.level for problem in self.problems]
        return any(mends) and all(mend for mend, level in zip(mends, levels, strict=True) if level == "error")

    def differences(self, report: list[dict[str, Any]]) -> list[str]:
        """What the report names wrongly, too vaguely, not at all, or without need: one line each."""
        left, lines = list(report), []
        for expected in self.problems:
            found = [p for p in left if (p["level"], p["code"], p["file"]) == expected.key]
            fitting = [p for p in found if all(word in said(p) for word in expected.words)]
            if fitting:
                left.remove(fitting[0])
            else:
                lines += [f"wanted: {expected}", *(f"  it only says: {said(p)}" for p in found)]
        lines += [f"without need: {shown(p)}" for p in left if p["level"] != "fact"]
        return lines


def said(problem: Mapping[str, Any]) -> str:
    """All that a person reads about the problem, and at its end the mend that is offered."""
    mend = problem.get("mend")
    return f"{problem['message']} [mend: {mend}]" if mend else str(problem["message"])


def shown(problem: Mapping[str, Any]) -> str:
    return f"{problem['level']} {problem['code']} {problem['file']!r}: {said(problem)}"


def repeated(cases: list[Case]) -> list[str]:
    """Names that two cases have."""
    return [name for name, count in Counter(case.name for case in cases).items() if count > 1]
