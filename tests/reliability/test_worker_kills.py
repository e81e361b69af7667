"""Any process of the worker may be killed: none is left behind, and what it was at goes on with the next worker.

django-q2 by itself fails here: its pool outlives its first process, and a process that is killed while it
waits at a queue keeps that queue's lock, so that the whole cluster waits for ever and still looks alive.
"""

import os
import signal
import sqlite3
import time

import psutil
import pytest

from tests.reliability.worker import Console

SAMPLE = """
from django.contrib.auth.models import User
from training import services
from training.models import Project
user, _ = User.objects.get_or_create(username="admin")
project = Project.objects.first() or services.project_create(name="p", owner=user)
print(services.dataset_create_sample(project=project, user=user, algorithm="image_classification").pk)
"""
# What a worker that was killed leaves of a task: fetched, so no other worker gets it, and never done.
FETCHED = """
from datetime import timedelta
from django.utils import timezone
from django_q.models import OrmQ, Schedule
OrmQ.objects.update(lock=timezone.now() + timedelta(hours=7))
Schedule.objects.all().delete()  # the minute's reconcile would find it too, later
"""


def dataset_status(console: Console, pk: str) -> str:
    database = sqlite3.connect(console.home / "console.sqlite3", timeout=30)
    try:
        return database.execute("select status from training_dataset where id = ?", [pk]).fetchone()[0]
    finally:
        database.close()


def wait_for(condition, console: Console, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, (console.home / "worker.log").read_text()[-3000:]
        time.sleep(0.1)


def start(console: Console, *command: str) -> tuple[psutil.Process, psutil.Process, list[psutil.Process]]:
    """-> the worker's first process, its sentinel, and the sentinel's children: pool, monitor, pusher."""
    first = psutil.Process(console.start_worker(*command).pid)
    wait_for(lambda: " running." in (console.home / "worker.log").read_text(), console)
    wait_for(lambda: first.children() and len(first.children()[0].children()) >= 3, console)
    (sentinel,) = first.children()
    time.sleep(1)  # until they wait at their queues
    return first, sentinel, sentinel.children()


@pytest.mark.parametrize("command", ["worker", "trainer_worker"])
@pytest.mark.parametrize("victim", ["first", "sentinel"])
def test_no_process_of_a_worker_outlives_its_head(console, command, victim):
    first, sentinel, _pool = start(console, command)
    (first if victim == "first" else sentinel).kill()
    wait_for(lambda: console.processes() == [], console, 20)


@pytest.mark.parametrize("place", range(4))  # two of the pool, the monitor, the pusher
def test_an_idle_process_that_is_killed_does_not_stop_the_others(console, place):
    """The launcher starts the worker again when it ends; here the test does."""
    _first, _sentinel, idle = start(console, "worker")
    idle[place].kill()
    wait_for(lambda: console.processes() == [], console, 20)
    console.start_worker("worker")
    pk = console.shell(SAMPLE)
    wait_for(lambda: dataset_status(console, pk) == "READY", console)


def test_the_next_worker_takes_up_what_a_killed_one_had_fetched(console):
    pk = console.shell(SAMPLE)
    console.shell(FETCHED)
    console.start_worker("worker")
    wait_for(lambda: dataset_status(console, pk) == "READY", console)


IMPATIENT = """
import django; django.setup()
from training.cluster import Cluster
Cluster(silent_seconds=3).run()
"""


def test_a_worker_whose_sentinel_hangs_ends(console):
    """SIGSTOP stands for a lock that will never be free."""
    _first, sentinel, _pool = start(console, "-c", IMPATIENT)
    os.kill(sentinel.pid, signal.SIGSTOP)
    wait_for(lambda: console.processes() == [], console)
