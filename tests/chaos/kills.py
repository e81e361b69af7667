"""Which processes a console has, and SIGKILL for one of them or all."""

import random
import time
from collections import Counter
from collections.abc import Sequence

import psutil

from tests.running import RunningConsole

EVERYTHING = "everything"
KINDS = ("web", "worker", "trainer worker", "trainer", "stages", "engine", "launcher", EVERYTHING)
# What a process's command line says of its kind. An export works for a worker: they are one kind.
SIGNS = (
    ("console.web", "web"),
    ("models_registry.export", "worker"),
    ("training.trainer", "trainer"),
    ("endpoints.engine", "engine"),
    ("worker", "worker"),
    ("trainer_worker", "trainer worker"),
    ("serve_stages", "stages"),
    ("console_run", "launcher"),
)
WAIT_SECONDS = 60  # for a trainer or an engine to kill: a worker that died young is started again after a while only
WATCHERS = 4  # the launcher has one for each line of the Procfile
POOL = {"worker": 2, "trainer worker": 2}  # as many as WORKERS and TRAINING_SLOTS of this console
PARTS = 4  # of a worker besides its pool: first process, sentinel, monitor, pusher


def kind_of(process: psutil.Process) -> str:
    """ "other" for one that is just becoming something, or has just ended."""
    try:
        command = process.cmdline()
    except psutil.NoSuchProcess:
        return "other"
    return next((kind for sign, kind in SIGNS if sign in command), "other")


def by_kind(console: RunningConsole) -> dict[str, list[psutil.Process]]:
    found: dict[str, list[psutil.Process]] = {}
    for process in console.processes():
        found.setdefault(kind_of(process), []).append(process)
    return found


def kill_one(console: RunningConsole, choice: random.Random, kinds: Sequence[str]) -> tuple[str, str]:
    """Kill a process of one of `kinds`, each as likely as the others. -> (its kind, what is to be said about it).

    When none of that kind is there for a while, any other process is killed instead.
    """
    kind = choice.choice(kinds)
    if kind == EVERYTHING:
        return kind, f"{kill_everything(console)} processes"
    deadline = time.monotonic() + WAIT_SECONDS
    while not (living := by_kind(console).get(kind)):
        time.sleep(0.1)
        if time.monotonic() > deadline:
            return kill_one(console, choice, KINDS)
    victim = choice.choice(sorted(living, key=lambda process: process.pid))
    _kill(victim)
    return kind, f"pid {victim.pid}, one of {len(living)}"


def kill_everything(console: RunningConsole) -> int:
    """Until none is left: one may start another between the look and the kill. -> how many there were."""
    killed: set[int] = set()
    while processes := console.processes():
        for process in processes:
            killed.add(process.pid)
            _kill(process)
        psutil.wait_procs(processes, timeout=1)
    return len(killed)


def _kill(process: psutil.Process) -> None:
    try:
        process.kill()
    except psutil.NoSuchProcess:
        return


def strayed(console: RunningConsole, engines: int) -> Counter[str]:
    """How many processes of each kind are there beyond those of a console without work; below zero: missing."""
    idle = Counter({"web": 1, "stages": 1, "engine": engines, "launcher": 1 + WATCHERS})
    idle.update({kind: PARTS + pool for kind, pool in POOL.items()})
    now = Counter({kind: len(processes) for kind, processes in by_kind(console).items()})
    now.subtract(idle)
    return Counter({kind: count for kind, count in now.items() if count})
