"""The launcher keeps the console's processes alive, and leaves none behind. Real processes, real signals."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.running import ROOT, free_port

RUN = """
import sys
from pathlib import Path
from console.launcher import Launcher, stop_leftovers
state = Path(sys.argv[1])
print("leftovers", stop_leftovers(state, grace=2), flush=True)
launcher = Launcher(state_file=state, kill_wait=2, on_tick=lambda: None)
for n, command in enumerate(sys.argv[2:]):
    launcher.add_process(f"p{n}", command)
launcher.loop()
"""


@pytest.fixture
def launch(tmp_path):
    started = []

    def start(*commands: str) -> subprocess.Popen:
        with (tmp_path / "out.txt").open("ab") as out:
            process = subprocess.Popen(
                [sys.executable, "-c", RUN, str(tmp_path / "launcher.json"), *commands],
                cwd=ROOT,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        started.append(process)
        return process

    yield start
    for process in started:
        left = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
        for one in (*left, process):
            one.kill()


def wait_for(condition, seconds=15.0):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if result := condition():
            return result
        time.sleep(0.05)
    raise AssertionError("it did not happen in time")


def pid_in(path: Path) -> int | None:
    text = path.read_text() if path.exists() else ""
    return int(text) if text.strip() else None


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_process_that_is_killed_is_started_again(launch, tmp_path):
    launch(f"echo $$ > {tmp_path}/pid; exec sleep 60")
    first = wait_for(lambda: pid_in(tmp_path / "pid"))
    os.kill(first, signal.SIGKILL)
    second = wait_for(lambda: (pid := pid_in(tmp_path / "pid")) != first and pid)
    assert alive(second)


ACCEPT = """
import os, socket, sys
listener = socket.socket(fileno=int(sys.argv[1]))
while True:
    connection, _ = listener.accept()
    connection.sendall(str(os.getpid()).encode())
    connection.close()
"""
HAND_DOWN = """
import socket, sys
from pathlib import Path
from console.launcher import Launcher
listener = socket.create_server(("127.0.0.1", int(sys.argv[2])))
launcher = Launcher(state_file=Path(sys.argv[1]), kill_wait=2, on_tick=lambda: None)
launcher.add_process("web", f"exec {sys.executable} -c '{sys.argv[3]}' {listener.fileno()}")
launcher.add_process("other", "trap '' TERM; while :; do sleep 0.2; done")
launcher.hand_down("web", listener)
launcher.loop()
"""


def pid_that_answers(port: int) -> int:
    """Raises ConnectionRefusedError."""
    with socket.create_connection(("127.0.0.1", port), timeout=15) as connection:
        return int(connection.recv(20))


def test_callers_of_a_process_that_starts_again_wait_and_are_refused_once_all_is_stopped(tmp_path):
    port = free_port()
    arguments = [sys.executable, "-c", HAND_DOWN, str(tmp_path / "launcher.json"), str(port), ACCEPT]
    launcher = subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        wait_for(lambda: takes_calls(port))
        first = pid_that_answers(port)
        os.kill(first, signal.SIGKILL)
        wait_for(lambda: not alive(first))
        assert pid_that_answers(port) != first
        launcher.terminate()
        wait_for(lambda: not takes_calls(port))
        assert launcher.poll() is None, "it still waits for the other process"
        assert launcher.wait(15) == 0
    finally:
        launcher.kill()


def takes_calls(port: int) -> bool:
    try:
        return pid_that_answers(port) > 0
    except (ConnectionError, ValueError):
        return False


def test_a_process_whose_watcher_is_killed_is_started_again_and_is_not_there_twice(launch, tmp_path):
    launcher = launch(f"echo $$ > {tmp_path}/pid; exec sleep 60")
    first = wait_for(lambda: pid_in(tmp_path / "pid"))
    wait_for((tmp_path / "launcher.json").exists)  # the launcher knows it too
    watcher = psutil.Process(first).parent()
    assert watcher.ppid() == launcher.pid
    watcher.kill()
    second = wait_for(lambda: (pid := pid_in(tmp_path / "pid")) != first and pid)
    assert alive(second)
    assert not alive(first)


def test_a_watcher_that_is_killed_while_it_tells_something_does_not_silence_the_others(launch, tmp_path):
    launcher = launch(f"echo $$ > {tmp_path}/talker; exec yes", f"echo $$ > {tmp_path}/pid; exec sleep 60")
    for _ in range(3):
        wait_for((tmp_path / "launcher.json").exists)
        talker = wait_for(lambda: (pid := pid_in(tmp_path / "talker")) and alive(pid) and pid)
        psutil.Process(talker).parent().kill()
        wait_for(lambda talker=talker: pid_in(tmp_path / "talker") != talker)
    first = pid_in(tmp_path / "pid")
    os.kill(first, signal.SIGKILL)
    wait_for(lambda: (pid := pid_in(tmp_path / "pid")) != first and pid)
    launcher.terminate()
    assert launcher.wait(15) == 0


def test_processes_go_on_when_the_launcher_is_killed_however_much_they_print(launch, tmp_path):
    launcher = launch(
        f"for n in $(seq 100000); do echo $n; done; touch {tmp_path}/done; exec sleep 60", "exec sleep 60"
    )
    state = tmp_path / "launcher.json"
    wait_for(lambda: state.exists() and '"p1"' in state.read_text() and '"p0"' in state.read_text())
    launcher.kill()
    wait_for((tmp_path / "done").exists)
    launch()
    wait_for(lambda: "leftovers ['p0', 'p1']" in (tmp_path / "out.txt").read_text())


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_every_process_even_a_stubborn_one(launch, tmp_path, signum):
    launcher = launch(
        f"echo $$ > {tmp_path}/meek; exec sleep 60",
        f"trap '' TERM; echo $$ > {tmp_path}/stubborn; sleep 60; sleep 60",
    )
    pids = [wait_for(lambda name=name: pid_in(tmp_path / name)) for name in ("meek", "stubborn")]
    launcher.send_signal(signum)
    assert launcher.wait(15) == 0
    wait_for(lambda: not any(alive(pid) for pid in pids))


@pytest.mark.parametrize("wait", [0.0, 0.005, 0.02])
def test_a_signal_that_comes_while_processes_are_started_leaves_none(launch, tmp_path, wait):
    launcher = launch(*[f"sleep 61; : {tmp_path}"] * 6)
    wait_for(lambda: psutil.Process(launcher.pid).children())
    time.sleep(wait)
    launcher.send_signal(signal.SIGTERM)
    assert launcher.wait(15) == 0
    commands = [process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"])]
    assert not [command for command in commands if str(tmp_path) in " ".join(command)]


def test_the_next_start_ends_what_a_killed_launcher_left(launch, tmp_path):
    launcher = launch(f"echo $$ > {tmp_path}/pid; exec sleep 60")
    orphan = wait_for(lambda: pid_in(tmp_path / "pid"))
    wait_for((tmp_path / "launcher.json").exists)
    launcher.kill()
    launcher.wait()
    assert alive(orphan)
    launch()
    wait_for(lambda: not alive(orphan))
    wait_for(lambda: "leftovers ['p0']" in (tmp_path / "out.txt").read_text())
