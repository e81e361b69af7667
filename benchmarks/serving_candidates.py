"""The candidates as processes. Only the one that is measured runs: the others are stopped (SIGSTOP) meanwhile."""

import http.client
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psutil

from benchmarks.serving_cases import ROOT
from benchmarks.serving_load import Address, load

SERVERS = ("engine", "web", "litserve-runtime", "litserve-eager", "litserve-decoder", "fastapi")
CHOSEN = "chosen.json"  # in the model's folder
START_SECONDS = 300
REST_SECONDS = 0.3  # between two candidates: what the last one left running comes to rest


class Candidate:
    """A server, or a process that answers lines. `needs`: who must run for it to answer."""

    def __init__(self, name: str, command: list[str], folder: Path, needs: "Candidate | None" = None) -> None:
        self.name, self.needs = name, needs
        self.started = 0.0  # seconds from its start to its first answer
        self.address = Address(folder / "engine.sock")
        environment = {**os.environ, "CONSOLE_HOME": str(folder / "home"), "PYTHONPATH": str(ROOT)}
        log = (folder / f"{name}.log").open("wb")
        self._log = Path(log.name)
        self._process = subprocess.Popen(
            command,
            cwd=folder,  # what a server leaves in its working folder goes with the model
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE if name in ("floor", "eager") else log,
            stderr=log,
            start_new_session=True,
            text=True,
        )

    def ask(self, question: Any) -> Any:
        """One line in, one line out. Raises RuntimeError when the process is gone."""
        assert self._process.stdin
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        return json.loads(self._line())

    def _line(self) -> str:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name} is gone: {self.last_words()}")
        return line

    def wait_ready(self, body: bytes) -> float:
        """-> the seconds that it took from now. A server is ready once it has answered."""
        began = time.monotonic()
        if self._process.stdout:
            self._line()
            return time.monotonic() - began
        while True:
            try:
                if not load(self.address, [body]).refused:
                    return time.monotonic() - began
            except (OSError, RuntimeError) as error:
                if self._process.poll() is not None or time.monotonic() - began > START_SECONDS:
                    raise RuntimeError(f"{self.name} does not answer ({error}): {self.last_words()}") from error
            time.sleep(0.02)

    def last_words(self) -> str:
        return self._log.read_text(errors="replace")[-2000:]

    @property
    def memory_mb(self) -> float:
        """Of all its processes, resident."""
        main = psutil.Process(self._process.pid)
        return sum(process.memory_info().rss for process in (main, *main.children(recursive=True))) / 2**20

    @property
    def info(self) -> dict[str, Any]:
        """What the engine says of itself."""
        with self.running():
            connection = http.client.HTTPConnection("engine", timeout=60)
            connection.sock = socket.socket(socket.AF_UNIX)
            connection.sock.connect(str(self.address.where))
            connection.request("GET", "/-/info")
            answer: dict[str, Any] = json.loads(connection.getresponse().read())
            connection.close()
        return answer

    @contextmanager
    def running(self) -> Iterator["Candidate"]:
        """Only within it does the candidate run."""
        chain = [candidate for candidate in (self.needs, self) if candidate]
        for candidate in chain:
            os.killpg(candidate._process.pid, signal.SIGCONT)
        time.sleep(REST_SECONDS)
        try:
            yield self
        finally:
            for candidate in chain:
                candidate.pause()

    def pause(self) -> None:
        os.killpg(self._process.pid, signal.SIGSTOP)

    def end(self) -> None:
        for number in (signal.SIGKILL, signal.SIGCONT):
            try:
                os.killpg(self._process.pid, number)
            except ProcessLookupError:
                break
        self._process.wait()


def free_port() -> int:
    """Below those that the system gives to outgoing connections: a caller that waits for a server on one of those may
    reach itself."""
    for port in random.sample(range(20_000, 32_000), 100):
        with socket.socket() as listener:
            try:
                listener.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise RuntimeError("no port is free")


@contextmanager
def candidates(folder: Path, names: tuple[str, ...], body: bytes) -> Iterator[dict[str, Candidate]]:
    """The named ones, the engine first, ready and stopped, each measured for how long its start took (`started`).

    Those that run our exported model take the runtime that the engine has chosen (`CHOSEN`).
    """
    found: dict[str, Candidate] = {}
    with ExitStack() as stack:
        for name in names:
            found[name] = candidate = _start(name, folder, found)
            stack.callback(candidate.end)
            if candidate.needs:
                os.killpg(candidate.needs._process.pid, signal.SIGCONT)
            candidate.started = candidate.wait_ready(body)
            for other in filter(None, (candidate, candidate.needs)):
                other.pause()
            if name == "engine":
                info = candidate.info
                (folder / CHOSEN).write_text(json.dumps({key: info[key] for key in ("runtime", "precision")}))
        yield found


def _start(name: str, folder: Path, found: dict[str, Candidate]) -> Candidate:
    if name == "engine":
        command = ["-m", "endpoints.engine", "--model", str(folder), "--socket", str(folder / "engine.sock")]
        return Candidate(name, [sys.executable, *command, "--name", "model", "--device", "cpu"], folder)
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.serving_servers", name, str(folder), str(port)]
    candidate = Candidate(name, command, folder, found["engine"] if name == "web" else None)
    candidate.address = Address(port, "/stage/bench/inference" if name == "web" else "/inference")
    return candidate
