"""TensorBoard on demand: one process a training, started when someone looks, gone when nobody does.

The process itself is tensorboard_server.py. Its pid, start time and secret path are in
`run/tensorboard/<training id>.json`, its port in `<training id>.port`; a lock beside them lets two requests
start only one.
"""

import fcntl
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from training.models import Training
from training.processes import ProcessId
from training.tensorboard_server import write

STOP_SECONDS = 2


@dataclass(frozen=True)
class Server:
    """A TensorBoard that runs. `port` is 0 while it starts; its pages are below /<secret>/."""

    process: ProcessId
    port: int
    secret: str


def url(training: Training) -> str:
    """Where the console shows it, behind the login."""
    return f"/projects/{training.project_id}/trainings/{training.pk}/tensorboard/"


def server(training: Training) -> Server:
    """The training's TensorBoard, started when it does not run. Does not wait for it. Notes the use."""
    _path(training.pk, "used").touch()
    running = _running(training.pk)
    if running:
        return running
    with _lock(training.pk):
        return _running(training.pk) or _start(training)


def ensure(training: Training, seconds: float = 30) -> int:
    """The port of the training's TensorBoard, started when it does not run. Raises TimeoutError."""
    deadline = time.monotonic() + seconds
    while not (port := server(training).port):
        if time.monotonic() > deadline:
            raise TimeoutError(f"TensorBoard did not start in {seconds} s: see {_log()}")
        time.sleep(0.1)
    return port


def stop(training_id: str) -> None:
    """End the training's TensorBoard, if one runs."""
    with _lock(training_id):
        running = _running(training_id)
        if running:
            _end(running.process)
        for kind in ("json", "port", "used"):
            _path(training_id, kind).unlink(missing_ok=True)


def _end(process: ProcessId) -> None:
    """It has no children and nothing to save."""
    os.kill(process.pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    while process.alive():
        if time.monotonic() > deadline:
            os.kill(process.pid, signal.SIGKILL)
        time.sleep(0.05)


def _start(training: Training) -> Server:
    """Called with the lock. It stays in the web process's group, and watches it: it never outlives it."""
    parent = ProcessId.own()
    secret = secrets.token_urlsafe(16)
    _path(training.pk, "port").unlink(missing_ok=True)
    given = {
        "port": str(_path(training.pk, "port")),
        "used": str(_path(training.pk, "used")),
        "logdir": str(training.folder / "tensorboard"),
        "secret": secret,
        "idle_seconds": settings.TENSORBOARD_IDLE_SECONDS,
        "parent": [parent.pid, parent.started],
    }
    with _log().open("ab") as log:
        child = subprocess.Popen(
            [sys.executable, "-m", "training.tensorboard_server"],
            cwd=settings.BASE_DIR,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    assert child.stdin is not None
    with child.stdin as stdin:  # a command line can be read by everyone on the machine
        stdin.write(json.dumps(given).encode())
    process = ProcessId.of(child.pid)
    assert process is not None  # a child stays in the process table until it is waited for
    state = {"pid": process.pid, "started": process.started, "secret": secret}
    write(_path(training.pk, "json"), json.dumps(state))
    return Server(process, 0, secret)


def _running(training_id: str) -> Server | None:
    try:
        state = json.loads(_path(training_id, "json").read_text())
    except FileNotFoundError:
        return None
    process = ProcessId(state["pid"], state["started"])
    if not process.alive():
        return None
    port = _path(training_id, "port")
    return Server(process, int(port.read_text()) if port.exists() else 0, state["secret"])


@contextmanager
def _lock(training_id: str) -> Iterator[None]:
    with _path(training_id, "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _path(training_id: str, kind: str) -> Path:
    folder = Path(settings.RUN_FOLDER) / "tensorboard"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder / f"{training_id}.{kind}"


def _log() -> Path:
    folder = Path(settings.CONSOLE_HOME) / "logs"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / "tensorboard.log"
