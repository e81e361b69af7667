"""Health, with real processes: what readyz says must be true of processes that it never started."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from django.conf import settings as console_settings

from training import heartbeats
from training.heartbeats import STALE_SECONDS, beat

ALIVE = ("default", "training", "stages")


def missing(client):
    answer = client.get("/readyz")
    assert answer.status_code == (503 if answer.json()["missing"] else 200)
    return answer.json()["missing"]


def test_healthz_needs_neither_login_nor_anything_else(client):
    """No database fixture: a query would fail this test."""
    answer = client.get("/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


def test_readyz_names_every_part_that_does_not_beat(client, db, home):
    assert missing(client) == ["worker", "trainer_worker", "stage_supervisor"]
    for name in ALIVE:
        beat(name)
    assert missing(client) == []


def test_a_heartbeat_that_stopped_is_missing(client, db, home):
    for name in ALIVE:
        beat(name)
    old = time.time() - STALE_SECONDS - 1
    os.utime(heartbeats.path("training"), (old, old))
    assert missing(client) == ["trainer_worker"]


def test_any_hosts_trainer_worker_will_do(client, db, home, settings):
    for name in ALIVE:
        beat(name)
    here, settings.HOST_NAME = settings.HOST_NAME, "another host/2"
    beat("training")
    settings.HOST_NAME = here
    heartbeats.path("training").unlink()
    assert missing(client) == []
    heartbeats.forget_own()
    assert missing(client) == ["worker", "stage_supervisor"]  # what other hosts left is not touched


def test_a_broker_that_cannot_be_reached_is_missing(client, db, home, settings):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound and not listening: a connection is refused
        settings.BROKER_URL = f"redis://127.0.0.1:{unused.getsockname()[1]}/0"
        assert missing(client)[0] == "broker"


class Console:
    """A console's processes in a home of their own."""

    def __init__(self, home: Path) -> None:
        self.home, self.running = home, []
        self.environment = {**os.environ, "CONSOLE_HOME": str(home), "DJANGO_SETTINGS_MODULE": "console.settings"}
        self.environment.pop("Q_CLUSTER_NAME", None)

    def run(self, *command: str) -> None:
        subprocess.run(self._python(*command), env=self.environment, check=True, capture_output=True)

    def start(self, *command: str, **environment: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            self._python(*command),
            env={**self.environment, **environment},
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.running.append(process)
        return process

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        self.running.remove(process)

    @staticmethod
    def _python(*command: str) -> list[str]:
        return [sys.executable, str(console_settings.BASE_DIR / "manage.py"), *command]


@pytest.fixture
def console(tmp_path):
    console = Console(tmp_path)
    console.run("migrate", "--verbosity", "0")
    yield console
    for process in list(console.running):
        console.kill(process)


def ready_within(port: int, wanted: list[str], seconds: float) -> None:
    deadline, said = time.monotonic() + seconds, None
    while said != wanted:
        assert time.monotonic() < deadline, f"readyz says {said}, not {wanted}"
        time.sleep(0.2)
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
                said = json.load(answer)["missing"]
        except urllib.error.HTTPError as error:
            said = json.load(error)["missing"]
        except OSError as error:
            said = error


def test_readyz_follows_real_processes_as_they_come_and_are_killed(console, unused_port):
    console.start("runserver", "--noreload", f"127.0.0.1:{unused_port}")
    ready_within(unused_port, ["worker", "trainer_worker", "stage_supervisor"], 60)
    worker = console.start("worker")
    console.start("trainer_worker")
    ready_within(unused_port, ["stage_supervisor"], 60)
    console.kill(worker)
    ready_within(unused_port, ["worker", "stage_supervisor"], STALE_SECONDS + 10)


@pytest.fixture
def unused_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
