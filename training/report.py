"""What was found in a dataset: every problem, with its file, its reason and how to mend it. Knows no Django."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from training.algorithms.base import NAMED, Message, Problem
from training.algorithms.base import gettext_noop as _

Files = Sequence[str]
LIMIT = 1000  # problems that are stored; beyond it only their number is


class Report:
    """Collects problems. `limit` bounds what is kept of each level, so that a hostile zip cannot fill the memory."""

    def __init__(self, limit: int = LIMIT) -> None:
        self.limit = limit
        self.found: Counter[str] = Counter()
        self.unmendable = 0  # errors that only a person can mend
        self.plans: dict[str, Any] = {}  # mend code -> what that mend is to do: see training.mends
        self._kept: dict[str, list[Problem]] = {"error": [], "warning": [], "fact": []}

    @property
    def errors(self) -> int:
        return self.found["error"]

    def add(self, problem: Problem) -> None:
        self.found[problem.level] += 1
        self.unmendable += problem.level == "error" and not problem.mend
        kept = self._kept[problem.level]
        if len(kept) < self.limit:
            kept.append(problem)

    def extend(self, problems: Iterable[Problem]) -> None:
        for problem in problems:
            self.add(problem)

    def error(self, code: str, text: str, file: str = "", *, files: Files = (), mend: str = "", **params: Any) -> None:
        """The dataset cannot be used until this is mended."""
        self.add(Problem(code, Message(text, params), file, "error", tuple(files[:NAMED]), mend))

    def warning(
        self, code: str, text: str, file: str = "", *, files: Files = (), mend: str = "", **params: Any
    ) -> None:
        """The dataset can be used, but the person should know."""
        self.add(Problem(code, Message(text, params), file, "warning", tuple(files[:NAMED]), mend))

    def fact(self, code: str, text: str, file: str = "", *, files: Files = (), mend: str = "", **params: Any) -> None:
        """Normal, and worth saying."""
        self.add(Problem(code, Message(text, params), file, "fact", tuple(files[:NAMED]), mend))

    def as_json(self) -> list[dict[str, Any]]:
        """Facts (few), then errors before warnings, at most `limit` of those; a last entry counts what is left out."""
        listed = (self._kept["error"] + self._kept["warning"])[: self.limit]
        left_out = self.found["error"] + self.found["warning"] - len(listed)
        problems = listed + self._kept["fact"]
        if left_out:
            text = _("%(count)s more problems are not listed.")
            level = "error" if self.errors > self.limit else "warning"
            problems.append(Problem("more", Message(text, {"count": left_out}), level=level))
        return [problem.as_json() for problem in problems]

    def summary(self) -> Message:
        """One sentence for the status of a dataset that has errors."""
        first = self._kept["error"][0]
        if self.errors == 1 and first.file:
            return Message(_("A problem was found in %(file)s: see the report."), {"file": first.file})
        if self.errors == 1:
            return first.message
        if not first.file:
            return Message(_("%(count)s problems were found: see the report."), {"count": self.errors})
        where = {"count": self.errors, "file": first.file}
        return Message(_("%(count)s problems were found, the first in %(file)s: see the report."), where)
