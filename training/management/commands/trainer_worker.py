"""A django-q2 cluster of its own for trainings, which ends its trainers with a checkpoint when it is told to end.

django-q2's own `qcluster` waits on SIGTERM until every running task is done, which may be days; a launcher that
signals the whole group kills its workers at once, which leaves trainers behind. Here only the first process
hears the signal (its children have groups of their own), tells the runners, waits as long as a checkpoint may
take, and then kills what is left. When the first process is killed itself, the kernel ends its children with
it, so that a restarted worker never has a second one beside it. Trainers, in their own sessions, go on: the next
worker re-attaches to them.
"""

import ctypes
import os
import signal
import sys
import threading
from types import FrameType
from typing import Any

import psutil
from django import db
from django.conf import settings
from django.core.management.base import BaseCommand
from django_q.cluster import Cluster

from training import queue, reconcile, shutdown

PR_SET_PDEATHSIG = 1  # linux/prctl.h
# After the trainers' grace: time for the runners to note the end, for the cluster to fold up.
MARGIN_SECONDS = 6


class Command(BaseCommand):
    help = "Run trainings, TRAINING_SLOTS at a time."

    def handle(self, *args: Any, **options: Any) -> None:
        if os.environ.get("Q_CLUSTER_NAME") != queue.CLUSTER:
            # django-q2 reads its cluster's name once, when it is imported: that was before this line.
            environment = {**os.environ, "Q_CLUSTER_NAME": queue.CLUSTER}
            os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)
        reconcile.start_over()
        db.connections.close_all()  # the cluster forks
        os.register_at_fork(after_in_child=Bond().tie)
        cluster = TrainerCluster()
        cluster.start()
        cluster.sentinel.join()


class TrainerCluster(Cluster):
    def sig_handler(self, signum: int, frame: FrameType | None) -> None:
        if shutdown.requested():
            return  # the first signal is being answered
        shutdown.request()
        if self.sentinel is None:
            raise SystemExit(0)  # nothing has been started yet
        killer = threading.Timer(settings.STOP_GRACE_SECONDS + MARGIN_SECONDS, _kill_children)
        killer.daemon = True
        killer.start()
        super().sig_handler(signum, frame)
        killer.cancel()


class Bond:
    """Ties each forked process to the one that forked it, from the first process down."""

    def __init__(self) -> None:
        self.parent = os.getpid()

    def tie(self) -> None:
        """In the new process: a group of its own, and an end together with its parent."""
        os.setpgid(0, 0)
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != self.parent:  # it died before the line above
            os._exit(1)
        self.parent = os.getpid()


def _kill_children() -> None:
    for child in psutil.Process().children(recursive=True):
        try:
            child.kill()
        except psutil.NoSuchProcess:
            continue
