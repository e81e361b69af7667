"""One engine process: started, asked whether it is ready, stopped. Knows nothing of stages and their statuses."""

import http.client
import json
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import Popen
from typing import Any

import psutil
from django.conf import settings

from endpoints import routes
from endpoints.places import Place
from models_registry.models import Model
from training.processes import ProcessId, kill_session, signal_group, spawn_session

log = logging.getLogger(__name__)

MODULE = "endpoints.engine"
LOG_BYTES = 5 * 1024 * 1024  # of one engine's log, before it is turned over


@dataclass
class EngineProcess:
    """`child` is None when an earlier supervisor started it: its exit code is unknown then. Times are monotonic.

    `gpu`: as CUDA_VISIBLE_DEVICES names the one that it sees, "" for none. `bytes_when_ready`: of its memory.
    `outgrown`: it takes too much memory, and goes once another has taken its place.
    """

    place: Place
    process: ProcessId
    child: Popen[bytes] | None = None
    gpu: str = ""
    started: float = field(default_factory=time.monotonic)
    info: dict[str, Any] = field(default_factory=dict)
    ready_since: float | None = None
    bytes_when_ready: int = 0
    outgrown: bool = False
    leave_at: float | None = None
    stop_by: float | None = None
    silent_since: float | None = None
    silent_probes: int = 0
    hung: bool = False
    _probe: Future[dict[str, Any] | None] | None = None
    _asked: float = 0

    @property
    def socket(self) -> Path:
        return self.place.socket

    def running(self) -> bool:
        return self.child.poll() is None if self.child else self.process.alive()

    @property
    def ready(self) -> bool:
        return self.ready_since is not None

    @property
    def going(self) -> bool:
        """It takes no more calls, or has been asked to end."""
        return self.leave_at is not None or self.stop_by is not None

    @property
    def exit_code(self) -> int | None:
        """Negative: killed by that signal."""
        return self.child.returncode if self.child else None

    def ask(self, pool: Executor, every: float, within: float) -> None:
        """Note what the last probe found; start the next one when the last began `every` seconds ago.

        An answer counts when it comes `within` seconds: the engine gives it without its model.
        """
        if self._probe and self._probe.done():
            self._note(self._probe.result())
            self._probe = None
        if self._probe is None and time.monotonic() - self._asked >= every:
            self._asked = time.monotonic()
            self._probe = pool.submit(probe, self.socket, within)

    def _note(self, answer: dict[str, Any] | None) -> None:
        if answer is None:
            self.silent_since = self.silent_since or self._asked
            self.silent_probes += 1
            return
        self.silent_since, self.silent_probes = None, 0
        if answer and not self.ready:
            self.is_ready(answer)

    def is_ready(self, info: dict[str, Any]) -> None:
        """It answered its probe; `info` is what it says, or said to an earlier supervisor, of itself."""
        self.info, self.ready_since = info, time.monotonic()
        self.bytes_when_ready = int(info.get("memory_mb", 0)) * 1024**2 or self.memory()

    def silent_for(self, seconds: float) -> bool:
        """No answer for so long, and to more than one probe: a single slow one may be this machine's fault."""
        if self.silent_since is None or self.silent_probes < 2:
            return False
        return time.monotonic() - self.silent_since > seconds

    def memory(self) -> int:
        """Resident bytes; 0 once it is gone."""
        try:
            return int(psutil.Process(self.process.pid).memory_info().rss)
        except psutil.NoSuchProcess:
            return 0

    def leave(self, linger_seconds: float) -> None:
        """Take no more calls. The web process may hold an older route for a moment, so it ends only after that."""
        if not self.going:
            self.leave_at = time.monotonic() + linger_seconds

    def stop(self, grace_seconds: float) -> None:
        """Ask it to answer what it has begun, and to end. `kill_if_overdue` does the rest."""
        if self.stop_by is None:
            self.stop_by = time.monotonic() + grace_seconds
            signal_group(self.process, signal.SIGTERM)

    def kill_if_overdue(self) -> None:
        if self.stop_by is not None and time.monotonic() > self.stop_by:
            self.kill()

    def kill(self) -> None:
        kill_session(self.process)


@dataclass(frozen=True)
class Order:
    """An engine to start. `gpu` is "" on a host without; batch size and window (ms) are None for the measured ones.

    With a `runtime`, the engine takes that and `precision`, if this host can, and measures nothing.
    """

    place: Place
    model: Model
    path: str
    threads: int
    gpu: str = ""
    batch_size: int | None = None
    batch_window_ms: float | None = None
    runtime: str = ""
    precision: str = "auto"

    def command(self) -> list[str]:
        words = [sys.executable, "-m", MODULE, "--model", str(self.model.folder), "--socket", str(self.place.socket)]
        words += [f"--name={self.model.name}", "--resource", self.path]  # "=": a name may begin with "-"
        words += ["--threads", str(self.threads), "--precision", self.precision]
        if self.runtime:
            words += ["--runtime", self.runtime]
        if self.batch_size is not None:
            words += ["--batch-size", str(self.batch_size)]
        if self.batch_window_ms is not None:
            words += ["--batch-window-ms", str(self.batch_window_ms)]
        return words

    def environment(self) -> dict[str, str]:
        return {**os.environ, **({"CUDA_VISIBLE_DEVICES": self.gpu} if self.gpu else {})}


def start(order: Order) -> EngineProcess:
    """Raises OSError."""
    order.place.socket.unlink(missing_ok=True)
    log = _log_for(order.place.resource_id)
    child = spawn_session(order.command(), log, settings.BASE_DIR, order.environment())
    process = ProcessId.of(child.pid) or ProcessId(child.pid, time.time())
    return EngineProcess(order.place, process, child, order.gpu)


def running_engines() -> Iterator[EngineProcess]:
    """Every engine of this CONSOLE_HOME that runs, whoever started it: told by the socket on its command line."""
    for process in psutil.process_iter():
        try:
            command = process.cmdline()
            if MODULE not in command or "--socket" not in command or process.status() == psutil.STATUS_ZOMBIE:
                continue
            path = Path(command[command.index("--socket") + 1])
            place = Place.of(path.name)
            if place and path.parent == routes.engines_folder():
                gpu = process.environ().get("CUDA_VISIBLE_DEVICES", "")
                yield EngineProcess(place, ProcessId(process.pid, process.create_time()), gpu=gpu)
        except (psutil.NoSuchProcess, psutil.AccessDenied, IndexError):
            continue  # ended while we looked, another user's, or not an engine's command line


def probe(path: Path, seconds: float = 5) -> dict[str, Any] | None:
    """What the engine at this socket says: its /-/info when ready, {} while it loads, None without an answer."""
    connection = UnixConnection(path, seconds)
    try:
        connection.request("GET", "/-/ready")
        answer = connection.getresponse()
        answer.read()
        if answer.status != 200:
            return {}
        connection.request("GET", "/-/info")
        return dict(json.loads(connection.getresponse().read()))
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        connection.close()


class UnixConnection(http.client.HTTPConnection):
    """HTTP to an engine's socket, without asyncio. Each operation may take `seconds`."""

    def __init__(self, path: Path, seconds: float) -> None:
        super().__init__("engine", timeout=seconds)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def log_path(resource_id: str) -> Path:
    return Path(settings.CONSOLE_HOME) / "logs" / f"engine-{resource_id}.log"


def rotated_log_path(resource_id: str) -> Path:
    """Where the log goes when it is full."""
    return log_path(resource_id).with_suffix(".log.1")


def _log_for(resource_id: str) -> Path:
    """The log to append to. A full one becomes the old one."""
    path = log_path(resource_id)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size > LOG_BYTES:
        path.replace(rotated_log_path(resource_id))
    return path


def last_lines(resource_id: str, count: int = 5) -> str:
    """The end of the engine's log, for the reason of a failure."""
    try:
        with log_path(resource_id).open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 8192))
            lines = file.read().decode("utf-8", "replace").splitlines()
    except FileNotFoundError:
        return ""
    return "\n".join(line[:300] for line in lines[-count:])


def forget(resource_id: str) -> None:
    """Remove what the engines of a resource that is gone for good have left."""
    sockets = routes.engines_folder().glob(f"{resource_id}*.sock*")
    for leftover in (*sockets, log_path(resource_id), rotated_log_path(resource_id)):
        leftover.unlink(missing_ok=True)
