"""A whole console for a test: every process of `make run`, a free port, a home of its own, small networks."""

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[1]
PASSWORD = "correct-horse-battery"


@dataclass
class RunningConsole:
    url: str
    home: Path
    environment: dict[str, str]
    process: subprocess.Popen

    def launch(self) -> None:
        """Start its processes again, after they were killed."""
        self.process = _launch(self.home, self.environment)

    def manage(self, *arguments: str, timeout: float = 60) -> str:
        """Run `manage.py` against this console. -> its standard output."""
        command = [sys.executable, "manage.py", *arguments]
        result = subprocess.run(
            command, cwd=ROOT, env=self.environment, check=True, text=True, stdout=subprocess.PIPE, timeout=timeout
        )
        return result.stdout

    def token(self, username: str = "admin") -> str:
        return self.manage("console_token", username).strip()

    def output(self) -> str:
        return (self.home / "console.out").read_text()

    def processes(self) -> list[psutil.Process]:
        """Every living process that belongs to this home: all of them carry it in their environment."""
        found = []
        for process in psutil.process_iter():
            try:
                ours = process.environ().get("CONSOLE_HOME") == str(self.home)
                if ours and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
        return found

    def stop(self, seconds: float = 60) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start(home: Path, **variables: str) -> RunningConsole:
    """Start a console in `home` and wait until it is ready. Raises AssertionError with its output if it is not."""
    home.mkdir(parents=True, exist_ok=True)
    port = free_port()
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "console.settings",
        "CONSOLE_HOME": str(home),
        "PORT": str(port),
        "CONSOLE_ADMIN_PASSWORD": PASSWORD,
        "CAPACITY_AUTOMATIC": "False",  # it takes the cores for a while
        "ARCHITECTURES_FILE": str(ROOT / "tests" / "architectures.json"),
        "HF_HUB_OFFLINE": "1",
        "STOP_GRACE_SECONDS": "20",
        **variables,
    }
    console = RunningConsole(f"http://127.0.0.1:{port}", home, environment, _launch(home, environment))
    try:
        deadline = time.monotonic() + 90
        while "The console is ready" not in console.output():
            assert console.process.poll() is None, console.output()
            assert time.monotonic() < deadline, console.output()
            time.sleep(0.1)
    except BaseException:
        console.process.terminate()  # who does not get it cannot stop it
        raise
    return console


def _launch(home: Path, environment: dict[str, str]) -> subprocess.Popen:
    with (home / "console.out").open("ab") as out:
        command = [sys.executable, "manage.py", "console_run"]
        return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=out, stderr=out)


@contextmanager
def running_console(home: Path, **variables: str):
    """A console that is stopped, whatever happens, and must leave no process behind."""
    console = start(home, **variables)
    try:
        yield console
    finally:
        if console.process.poll() is None:
            console.stop()
        left = console.processes()
        for process in left:
            process.kill()
        assert not left, f"left behind: {left}\n{console.output()[-4000:]}"
