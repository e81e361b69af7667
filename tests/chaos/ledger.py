"""What became of every job, and the tables that say so."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.chaos.kills import KINDS

RIGHT, REASON, LOST, DIFFERS = "right", "true reason", "lost", "differs"


class Wrong(Exception):
    """A job did not end as it has to. `outcome` is LOST or DIFFERS."""

    def __init__(self, outcome: str, note: str) -> None:
        super().__init__(note)
        self.outcome, self.noted = outcome, False


@dataclass
class Job:
    kind: str
    name: str
    began: float
    ended: float = 0.0
    outcome: str = RIGHT
    note: str = ""


@dataclass
class Ledger:
    """Times are monotonic seconds."""

    jobs: list[Job] = field(default_factory=list)
    kills: list[tuple[float, str]] = field(default_factory=list)
    left: Counter[str] = field(default_factory=Counter)
    began: float = field(default_factory=time.monotonic)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def job(self, kind: str, name: str) -> Iterator[Job]:
        """Write down how the body ends. One that is not right is printed at once, and raised."""
        job = Job(kind, name, time.monotonic())
        try:
            yield job
        except Wrong as wrong:
            job.outcome, job.note, wrong.noted = wrong.outcome, str(wrong), True
            raise
        except Exception as error:
            job.outcome, job.note = LOST, f"{type(error).__name__}: {error}"
            raise
        finally:
            job.ended = time.monotonic()
            with self._lock:
                self.jobs.append(job)
            if job.outcome in (LOST, DIFFERS):
                self.say(f"{job.outcome.upper()}: {kind} {name}: {job.note}")

    def note(self, wrong: Wrong, name: str) -> None:
        """What went wrong between two jobs is one of its own."""
        if not wrong.noted:
            self.jobs.append(Job("journey", name, self.began, time.monotonic(), wrong.outcome, str(wrong)))
            self.say(f"{wrong.outcome.upper()}: {wrong}")

    def kill(self, kind: str, said: str) -> None:
        self.kills.append((time.monotonic(), kind))
        self.say(f"kill {len(self.kills):3}: {kind} ({said})")

    def say(self, line: str) -> None:
        print(f"{time.monotonic() - self.began:7.1f} s  {line}", flush=True)

    def flawless(self) -> bool:
        return bool(self.kills) and not self.left and not any(job.outcome in (LOST, DIFFERS) for job in self.jobs)

    def tables(self) -> str:
        return f"{self._by_process()}\n\n{self._by_job()}"

    def _by_process(self) -> str:
        """A job counts for each kind of process that was killed while it lasted; the last line counts each once."""
        rows = []
        for kind in sorted({*KINDS, *self.left}, key=lambda kind: (*KINDS, kind).index(kind)):
            moments = [moment for moment, killed in self.kills if killed == kind]
            jobs = [job for job in self.jobs if any(job.began <= moment <= job.ended for moment in moments)]
            rows.append([kind, len(moments), len(jobs), *_bad(jobs), self.left[kind]])
        rows.append(["all", len(self.kills), len(self.jobs), *_bad(self.jobs), self.left.total()])
        return _table(["killed", "kills", "jobs meanwhile", "lost", "differ", "left behind"], rows)

    def _by_job(self) -> str:
        rows = []
        for kind in dict.fromkeys(job.kind for job in self.jobs):
            jobs = [job for job in self.jobs if job.kind == kind]
            hit = [job for job in jobs if any(job.began <= moment <= job.ended for moment, _kind in self.kills)]
            outcomes = Counter(job.outcome for job in jobs)
            longest = max(job.ended - job.began for job in jobs)
            rows.append([kind, len(jobs), len(hit), outcomes[RIGHT], outcomes[REASON], *_bad(jobs), f"{longest:.0f} s"])
        return _table(["job", "jobs", "hit by a kill", "right", "true reason", "lost", "differ", "longest"], rows)


def _bad(jobs: list[Job]) -> tuple[int, int]:
    outcomes = Counter(job.outcome for job in jobs)
    return outcomes[LOST], outcomes[DIFFERS]


def _table(head: list[str], rows: list[list[object]]) -> str:
    lines = [head, *[[str(cell) for cell in row] for row in rows]]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if n == 0 else cell.rjust(width)
            for n, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    )
