"""Model folders as the registry makes them, of real, tiny trainings; and engines that serve them.

A model is made once a test run: the processes that share the tests share its folder too. A test that changes it
changes a copy.
"""

import atexit
import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tests.runs import ROOT, tiny_model
from training.locks import file_lock

if "EXPORTED_FOLDER" not in os.environ:  # this process begins the run; those it starts find the folder there
    os.environ["EXPORTED_FOLDER"] = tempfile.mkdtemp(prefix="exported-")
    atexit.register(shutil.rmtree, os.environ["EXPORTED_FOLDER"], ignore_errors=True)
FOLDER = Path(os.environ["EXPORTED_FOLDER"])


def export(folder: Path, dataset: str = "") -> subprocess.CompletedProcess[str]:
    """Run the export as the worker does."""
    command = [sys.executable, "-m", "models_registry.export", str(folder), dataset]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False)


@cache
def trained(algorithm: str) -> Path:
    """A trained model's folder, not exported. Beside its run lies its dataset."""
    with file_lock(FOLDER / f"{algorithm}.trained.lock", wait=True):
        return tiny_model(algorithm, FOLDER)


def dataset_of(algorithm: str) -> Path:
    return trained(algorithm).parents[1] / "data"


@cache
def exported(algorithm: str) -> Path:
    folder = FOLDER / f"{algorithm}.exported"
    with file_lock(FOLDER / f"{algorithm}.exported.lock", wait=True):
        if not (folder / "export_report.json").exists():
            shutil.copytree(trained(algorithm), folder, dirs_exist_ok=True)
            done = export(folder, str(dataset_of(algorithm)))
            assert done.returncode == 0, done.stderr[-3000:]
    return folder


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("engine", timeout=60)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


@dataclass
class Engine:
    """A running engine. `stderr` is the file of its standard error."""

    process: subprocess.Popen[bytes]
    path: Path
    stderr: Path

    def call(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """-> (status, the JSON of the answer)"""
        connection = UnixConnection(self.path)
        data = None if body is None else json.dumps(body)
        connection.request(method, path, data, {"Content-Type": "application/json"} if data else {})
        response = connection.getresponse()
        answer = response.status, json.loads(response.read())
        connection.close()
        return answer

    def ready(self) -> bool:
        try:
            return self.call("GET", "/-/ready")[0] == 200
        except (FileNotFoundError, ConnectionRefusedError):  # no socket yet, or that of a killed engine
            return False

    def wait_ready(self, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while not self.ready():
            assert self.process.poll() is None, self.stderr.read_text()
            assert time.monotonic() < deadline, self.stderr.read_text()
            time.sleep(0.02)


@contextmanager
def engine(
    model: Path, folder: Path, *options: str, name: str = "shapes", python: tuple[str, ...] = ()
) -> Iterator[Engine]:
    """An engine process for `model`, not waited for; killed at the end if it still runs. `folder` gets its socket."""
    path, stderr = folder / "engine.sock", folder / "engine.log"
    command = [sys.executable, *python, "-m", "endpoints.engine"]
    command += ["--model", str(model), "--socket", str(path), "--name", name, "--threads", "1", *options]
    with stderr.open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, stderr=log)
    try:
        yield Engine(process, path, stderr)
    finally:
        process.kill()
        process.wait()
