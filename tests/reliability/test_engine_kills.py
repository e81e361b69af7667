"""Kill what serves the stages, with real processes and real signals, and see what a caller notices."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.endpoints.callers import Callers
from tests.endpoints.colours import request
from tests.running import ROOT


class Serving:
    """Web process and stage supervisor over a home of their own."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.environment = {**os.environ, "CONSOLE_HOME": str(home), "DJANGO_SETTINGS_MODULE": "console.settings"}
        self.run(["manage.py", "migrate", "--verbosity", "0"])
        self.listener = socket.create_server(("127.0.0.1", 0))  # the launcher's
        self.web = self.serve()
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.listener.getsockname()[1]}", timeout=70)
        self.supervisor = self.supervise()

    def run(self, arguments: list[str]) -> str:
        command = [sys.executable, *arguments]
        result = subprocess.run(
            command, cwd=ROOT, env=self.environment, check=True, text=True, stdout=subprocess.PIPE, timeout=60
        )
        return result.stdout

    def spawn(self, arguments: list[str]) -> subprocess.Popen[bytes]:
        descriptor = self.listener.fileno()
        environment = {**self.environment, "WEB_FD": str(descriptor)}
        with (self.home / "processes.log").open("ab") as log:
            command = [sys.executable, *arguments]
            return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log, pass_fds=(descriptor,))

    def serve(self) -> subprocess.Popen[bytes]:
        return self.spawn(["-m", "console.web"])

    def supervise(self) -> subprocess.Popen[bytes]:
        return self.spawn(["manage.py", "serve_stages"])

    def deploy(self, *arguments: str) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self.run(["-m", "tests.endpoints.deploy", *arguments]))
        return answer

    def endpoint(self, name: str) -> "Deployed":
        deployed = Deployed(self, self.deploy("create", name))
        wait_for(lambda: deployed.post().status_code == 200)
        return deployed

    def engines(self) -> list[psutil.Process]:
        """Every living engine of this home, whoever's child it is: all of them carry the home in their environment."""
        found = []
        for process in psutil.process_iter():
            try:
                engine = "endpoints.engine" in process.cmdline() and process.status() != psutil.STATUS_ZOMBIE
                if engine and process.environ().get("CONSOLE_HOME") == str(self.home):
                    found.append(process)
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
        return found

    def log(self) -> str:
        return (self.home / "processes.log").read_text()


class Deployed:
    def __init__(self, serving: Serving, row: dict[str, Any]) -> None:
        self.serving, self.row = serving, row

    def post(self) -> httpx.Response:
        try:
            return self.serving.client.post(
                self.row["path"], json=request("blue"), headers={"X-API-Key": self.row["key"]}
            )
        except httpx.ConnectError:
            return httpx.Response(599)  # the web process is gone

    def engines(self) -> list[psutil.Process]:
        return [p for p in self.serving.engines() if any(self.row["resource"] in word for word in _command(p))]

    @property
    def engine(self) -> psutil.Process:
        (process,) = self.engines()
        return process

    def calling(self, **headers: str) -> Callers:
        url = f"{str(self.serving.client.base_url).rstrip('/')}{self.row['path']}"
        return Callers(url, {"X-API-Key": self.row["key"], **headers})

    def status(self) -> dict[str, Any]:
        return self.serving.deploy("status", self.row["id"])


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:
        return []


def wait_for(condition: Callable[[], object], seconds: float = 40) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.1)


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """In a home whose path is too long for a Unix socket."""
    home = tmp_path_factory.mktemp("home") / ("a-deep-folder-" * 6)
    home.mkdir()
    serving = Serving(home)
    yield serving
    for process in (serving.supervisor, serving.web):
        process.terminate()
    try:
        serving.supervisor.wait(30)
        serving.web.wait(30)
        assert serving.engines() == []
    finally:
        for process in [*serving.engines(), serving.supervisor, serving.web]:
            process.kill()
        serving.listener.close()


def test_killed_engine_is_replaced_and_callers_see_only_unavailable(serving: Serving):
    colours = serving.endpoint("killed")
    engine = colours.engine
    engine.kill()
    began = time.monotonic()
    answers = []
    wait_for(lambda: answers.append(colours.post()) or answers[-1].status_code == 200, seconds=30)
    assert time.monotonic() - began < 30
    assert {answer.status_code for answer in answers} <= {200, 503}
    assert all("retry-after" in answer.headers for answer in answers if answer.status_code == 503)
    assert answers[-1].json()[0]["label"] == "blue"
    assert colours.engine.pid != engine.pid


def test_engines_answer_without_supervisor_and_the_next_one_takes_them_over(serving: Serving):
    colours = serving.endpoint("orphaned")
    engine = colours.engine
    moves = colours.status()["moves"]
    serving.supervisor.kill()
    serving.supervisor.wait()
    for _ in range(20):
        assert colours.post().status_code == 200
    serving.supervisor = serving.supervise()
    wait_for(lambda: f"Engine {engine.pid}:" in serving.log().rpartition("goes on")[0])
    time.sleep(1.5)  # several rounds of the new supervisor
    assert colours.engine == engine
    assert colours.status() == {"status": "ACTIVE", "moves": moves}
    assert colours.post().status_code == 200
    engine.kill()  # not a child of the supervisor that has to notice
    wait_for(lambda: colours.post().status_code == 200 and colours.engine != engine)


def test_supervisor_is_killed_while_it_deploys_and_no_call_fails(serving: Serving):
    """The next one finishes the deployment: it finds the old engine and the new one."""
    colours = serving.endpoint("halfway")
    before = colours.engine
    with colours.calling() as callers:
        serving.deploy("redeploy", colours.row["id"])
        wait_for(lambda: len(colours.engines()) == 2)
        serving.supervisor.kill()
        serving.supervisor.wait()
        wait_for(callers.more())
        serving.supervisor = serving.supervise()
        wait_for(lambda: colours.status()["status"] == "ACTIVE" and colours.engines() != [before])
        wait_for(lambda: len(colours.engines()) == 1)
        wait_for(callers.more())
    assert callers.failed == []
    assert colours.engine != before


def test_engine_is_killed_under_load_and_calls_wait_for_the_next_one(serving: Serving):
    colours = serving.endpoint("busy")
    with colours.calling() as callers:
        wait_for(callers.more())
        colours.engine.kill()
        wait_for(callers.more(), seconds=60)
    assert all("unavailable" in answer for answer in callers.failed)


@pytest.mark.parametrize("connection", ["close", "keep-alive"])
def test_web_process_is_restarted_under_load_and_no_call_fails(serving: Serving, connection: str):
    """Callers whose connection has ended, and all others, wait for the next web process."""
    colours = serving.endpoint(f"reloaded {connection}")
    with colours.calling(Connection=connection) as callers:
        wait_for(callers.more())
        serving.web.terminate()
        serving.web.wait(30)
        serving.web = serving.serve()
        wait_for(callers.more())
    assert callers.failed == []
    assert colours.status()["status"] == "ACTIVE"


def test_second_supervisor_of_a_home_leaves_at_once_and_disturbs_nothing(serving: Serving):
    colours = serving.endpoint("contended")
    engine = colours.engine
    second = serving.supervise()
    assert second.wait(30) != 0
    assert "Another stage supervisor serves" in serving.log()
    assert colours.engine == engine
    assert colours.post().status_code == 200


def test_deleted_endpoint_leaves_no_process(serving: Serving):
    colours = serving.endpoint("deleted")
    engine = colours.engine
    serving.deploy("delete", colours.row["id"])
    assert colours.post().status_code == 404
    wait_for(lambda: colours.status()["status"] == "gone")
    assert not engine.is_running()
    assert not list(serving.home.glob(f"logs/*{colours.row['resource']}*"))


def test_terminated_supervisor_leaves_no_engine_and_starts_them_again(serving: Serving):
    colours = serving.endpoint("restarted")
    serving.supervisor.send_signal(signal.SIGTERM)
    assert serving.supervisor.wait(30) == 0
    assert serving.engines() == []
    assert colours.post().status_code == 503
    serving.supervisor = serving.supervise()
    wait_for(lambda: colours.post().status_code == 200)
