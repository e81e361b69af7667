"""`make demo`: the journey itself against a whole console, and what it says when it cannot go on."""

import os
import re
import subprocess
import sys

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from knox.models import AuthToken

from console.sdk import Client
from tests.running import running_console
from training.heartbeats import beat

KINDS = ("datasets", "trainings", "models", "endpoints")


def test_the_journey_from_zip_to_answer_and_nothing_is_left(tmp_path):
    with running_console(tmp_path / "home") as console:
        printed = console.manage("console_demo", "--algorithm", "image_classification", "--cleanup", timeout=600)
        steps = re.findall(r"^  (\w+) +[\d.]+ s", printed, re.MULTILINE)
        assert steps == ["dataset", "training", "model", "endpoint", "answer"]
        scores = {label: float(score) for label, score in re.findall(r"(circle|square|triangle) (\d\.\d+)", printed)}
        assert sum(scores.values()) == pytest.approx(1, abs=0.001)
        assert "1 real answers" in printed
        client = Client(console.url, console.token())
        assert [client.get(f"{kind}/")["count"] for kind in KINDS] == [0, 0, 0, 0]


@pytest.mark.slow
def test_all_three_algorithms_twice(tmp_path):
    """Twice: names are unique to a run, and what the first left does not disturb the second."""
    with running_console(tmp_path / "home") as console:
        for _run in range(2):
            printed = console.manage("console_demo", timeout=1800)
            assert "3 real answers" in printed
            assert "512 x 512 class ids: " in printed
            assert len(re.findall(r"xmin \d+, ymin \d+, xmax \d+, ymax \d+, score", printed)) == 3
        client = Client(console.url, console.token())
        assert [client.get(f"{kind}/")["count"] for kind in KINDS] == [6, 6, 6, 6]


@pytest.fixture
def ready(transactional_db, home, project, live_server):
    """A server that says it is ready; but nobody works."""
    for name in ("default", "training", "stages"):
        beat(name)
    return live_server.url


def test_there_is_no_console():
    with pytest.raises(CommandError, match=r"not ready: nothing answers there.*make run"):
        call_command("console_demo", url="http://127.0.0.1:9")


def test_there_is_no_such_user(ready):
    with pytest.raises(CommandError, match="no user 'admin'"):
        call_command("console_demo", url=ready)


def test_the_running_console_has_another_home(ready, tmp_path):
    command = [sys.executable, "manage.py", "console_demo", "--url", ready]
    environment = os.environ | {"CONSOLE_HOME": str(tmp_path), "DATABASE_URL": f"sqlite:///{tmp_path}/none.sqlite3"}
    environment["DJANGO_SETTINGS_MODULE"] = "console.settings"
    found = subprocess.run(
        command, cwd=settings.BASE_DIR, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert found.returncode == 1
    assert "set CONSOLE_HOME to the running one's" in found.stderr
    assert "Traceback" not in found.stderr


def test_the_token_is_wrong(ready):
    with pytest.raises(CommandError, match=r"The demo failed: .*\(401 not_authenticated\)"):
        call_command("console_demo", url=ready, token="wrong")


def test_a_step_takes_longer_than_patience_and_the_token_is_taken_back(ready):
    with pytest.raises(CommandError, match=r"The demo failed: datasets/\w+/ is still VALIDATING after 1 s"):
        call_command("console_demo", url=ready, user="editor", patience=1)
    assert not AuthToken.objects.exists()
