"""A database whose disk is full. With SQLite it is the console's own disk; in processes of their own, on a real one."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.disks import fill, small_disk
from tests.reliability.worker import Console
from tests.running import ROOT

LOOK = """
from django.test import Client
from django.contrib.auth.models import User
from training.models import Project
client = Client(raise_request_exception=False)
client.force_login(User.objects.get(username="admin"))
project = Project.objects.get()
print("BEFORE", client.post(f"/projects/{project.pk}/experiments/new/", {"name": "first"}).status_code)
input()
page = client.post(f"/projects/{project.pk}/experiments/new/", {"name": "x" * 40}, headers={"Accept": "text/html"})
print("PAGE", page.status_code, "disk is full" in page.content.decode() or page.content.decode())
call = client.post("/api/v1/experiments/", {"name": "y" * 40}, content_type="application/json")
print("CALL", call.status_code, call.json()["error"]["code"])
print("READ", client.get(f"/projects/{project.pk}/space/").status_code)
input()
print("AFTER", client.post(f"/projects/{project.pk}/experiments/new/", {"name": "z"}).status_code)
"""


@pytest.fixture
def home(tmp_path):
    with small_disk(tmp_path / "small", "24m") as folder:
        yield folder


def manage(home: Path, *arguments: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "console.settings", "CONSOLE_HOME": str(home)}
    environment.pop("DATABASE_URL", None)  # this is about SQLite, whatever the other tests use
    pipe = subprocess.PIPE
    command = [sys.executable, "manage.py", *arguments]
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdin=pipe, stdout=pipe, text=True)


def test_pages_and_calls_say_that_the_disk_is_full_and_work_again_when_it_is_not(home):
    assert manage(home, "migrate", "--verbosity", "0").wait(120) == 0
    made = "from django.contrib.auth.models import User; from training.services import project_create; "
    made += "project_create(name='p', owner=User.objects.create_superuser('admin', password='x'))"
    assert manage(home, "shell", "-c", made).wait(60) == 0
    process = manage(home, "shell", "-c", LOOK)
    try:
        assert said(process, "BEFORE") == ["302"]
        ballast = fill(home)
        assert process.stdin
        process.stdin.write("\n")
        process.stdin.flush()
        assert said(process, "PAGE") == ["507", "True"]
        assert said(process, "CALL") == ["507", "insufficient_storage"]
        assert said(process, "READ") == ["200"]
        ballast.unlink()
        process.stdin.write("\n")
        process.stdin.flush()
        assert said(process, "AFTER") == ["302"]
    finally:
        process.kill()
        process.wait()


def said(process: subprocess.Popen[str], word: str) -> list[str]:
    """The rest of the next line that begins with `word`."""
    assert process.stdout
    for line in process.stdout:
        if line.startswith(word):
            return line.split()[1:]
    raise AssertionError(f"it ended before it said {word}")


def test_a_training_and_its_worker_outlive_a_database_that_is_full_for_a_while(home):
    """Log, events and database share the disk. When there is room again the training has ended with the reason, and
    the same worker runs the next one."""
    console = Console(home)
    console.set_up()
    training = console.create()
    worker = console.start_worker()
    try:
        console.wait(training, "RUNNING", step=5)
        trainer = console.trainer(training)
        ballast = fill(home)
        deadline = time.monotonic() + 120
        while trainer.alive():
            assert time.monotonic() < deadline, "the trainer hangs"
            time.sleep(0.1)
        time.sleep(5)  # the runner meets the full database several times
        ballast.unlink()
        console.wait(training, "FAIL_TRAIN")
        assert "disk is full" in console.row(training, "status_reason")[0]
        following = console.create("next", num_train_epochs=1)
        console.wait(following, "COMPLETE")
        assert worker.poll() is None
    finally:
        console.kill_everything()
