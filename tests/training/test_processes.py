"""Ending a session must not eat the exit status of a child: the runner judges a training's end by it."""

import signal
import sys
import time

import pytest

from training.processes import ProcessId, end_session, kill_session, session_members, spawn_session

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]
CHILD = "import subprocess; subprocess.run(['sleep', '60'])"
FORK = [sys.executable, "-c", CHILD]


@pytest.mark.parametrize("command", [SLEEP, FORK])
def test_a_killed_session_leaves_no_process_and_its_leader_was_killed_by_a_signal(command, tmp_path):
    child = spawn_session(command, tmp_path / "log", tmp_path, {})
    leader = ProcessId.of(child.pid)
    assert kill_session(leader) >= 1
    assert session_members(leader) == []
    assert child.wait(10) == -signal.SIGKILL


def test_the_whole_group_is_asked_to_end(tmp_path):
    """This leader ends when its child has: neither has to be killed.

    Until the child is `sleep`, it is a shell that may miss the signal.
    """
    command = ["sh", "-c", "trap : TERM; sleep 60 & wait $!; wait $!"]
    leader = ProcessId.of(spawn_session(command, tmp_path / "log", tmp_path, {}).pid)
    while "sleep" not in [process.name() for process in session_members(leader)]:
        time.sleep(0.01)
    assert end_session(leader, 10)
