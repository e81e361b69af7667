"""Processes as the system knows them: by pid *and* start time, in sessions of their own.

A pid alone is reused; a pid with its start time is not. What runs long (a trainer, a TensorBoard, an
engine) is started as the leader of a new session, so that everything it starts in turn can be found by
the session's id and ended with it.
"""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

# The start time is counted from the boot time, which moves a little when the clock is set.
CLOCK_TOLERANCE_SECONDS = 1.5
POLL_SECONDS = 0.05


@dataclass(frozen=True)
class ProcessId:
    """One process for good: `started` is its start time in unix seconds."""

    pid: int
    started: float

    @classmethod
    def of(cls, pid: int) -> "ProcessId | None":
        """The identity of the process that has this pid now; None when there is none."""
        try:
            return cls(pid, psutil.Process(pid).create_time())
        except psutil.NoSuchProcess:
            return None

    @classmethod
    def own(cls) -> "ProcessId":
        return cls(os.getpid(), psutil.Process().create_time())

    def alive(self) -> bool:
        """Whether this very process still runs. A zombie does not: it only waits to be reaped."""
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.started) < CLOCK_TOLERANCE_SECONDS
            return same and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    def __str__(self) -> str:
        return f"{self.pid}:{self.started:.2f}"


def spawn_session(command: Sequence[str], log: Path, cwd: Path, env: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start `command` as the leader of a new session, its output appended to `log`. Raises OSError."""
    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            cwd=cwd,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def session_members(leader: ProcessId) -> list[psutil.Process]:
    """Every living process of the session that `leader` began, itself included while it lives.

    The kernel gives no pid away that still names a session, so when another process holds the leader's
    pid, the session is gone.
    """
    now = ProcessId.of(leader.pid)
    if now is not None and abs(now.started - leader.started) >= CLOCK_TOLERANCE_SECONDS:
        return []
    return [process for process in psutil.process_iter() if _belongs(process, leader.pid)]


def _belongs(process: psutil.Process, session: int) -> bool:
    try:
        return os.getsid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE
    except (ProcessLookupError, PermissionError, psutil.NoSuchProcess):
        return False  # ended while we looked, or another user's


def leaders_running(arguments: Sequence[str]) -> list[ProcessId]:
    """The session leaders whose first arguments, after the program's name, are these."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        command = process.info["cmdline"] or []
        if command[1 : 1 + len(arguments)] == list(arguments) and _belongs(process, process.pid):
            found.append(ProcessId.of(process.pid))
    return [leader for leader in found if leader]


def signal_group(leader: ProcessId, number: signal.Signals) -> bool:
    """Send a signal to the process group of `leader`. False when the leader no longer runs."""
    if not leader.alive():
        return False
    try:
        os.killpg(leader.pid, number)
    except ProcessLookupError:
        return False
    return True


def end_session(leader: ProcessId, grace_seconds: float, *, while_waiting: Callable[[], object] | None = None) -> bool:
    """SIGTERM to the leader's group, up to `grace_seconds` for it to end, then SIGKILL to what is left of its session.

    What the leader needs to end well must not listen: a trainer's data loaders do not. `while_waiting` is called about
    every 0.05 s during the grace time (to renew a lease, to reap a child).
    Returns True when nothing had to be killed. Afterwards no process of the session is left.
    """
    signal_group(leader, signal.SIGTERM)
    deadline = time.monotonic() + grace_seconds
    while leader.alive() and time.monotonic() < deadline:
        if while_waiting:
            while_waiting()
        time.sleep(POLL_SECONDS)
    return kill_session(leader) == 0


def kill_session(leader: ProcessId) -> int:
    """SIGKILL every process of the session until none is left. Returns how many had to be killed.

    Repeated, because a process may fork between the look and the kill.
    """
    killed: set[int] = set()
    while members := session_members(leader):
        for process in members:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
            killed.add(process.pid)
        time.sleep(POLL_SECONDS)  # not psutil's wait: it would reap a child, and its exit status with it
    return len(killed)
