"""A django-q2 cluster that may be killed anywhere, and ends its tasks when it is told to end.

By itself django-q2 has three faults here. Its pool outlives its first process: a restarted worker would have a
second one beside it. A process that is killed while it waits at a queue keeps that queue's lock: the others wait for
ever, and the cluster still looks alive. And on SIGTERM it waits until every running task is done, which may be days;
a launcher that signals the whole group instead kills its workers at once, which leaves trainers behind.

Here the kernel ends every process together with the one that forked it. Only the first process hears SIGTERM (its
children have groups of their own); it tells the tasks, waits as long as a checkpoint may take, and kills what is left.
When an idle process is killed or the sentinel hangs, the whole worker ends, and who started it starts it again.
Trainers and exports, in their own sessions, are none of it.
"""

import ctypes
import logging
import multiprocessing
import os
import signal
import threading
import time
from multiprocessing.sharedctypes import RawValue
from types import FrameType
from typing import Any

import psutil
from django import db
from django.conf import settings
from django_q import cluster as django_q2

from training import shutdown

logger = logging.getLogger(__name__)
PR_SET_PDEATHSIG = 1  # linux/prctl.h
# After the tasks' grace: time for them to note the end, for the cluster to fold up.
MARGIN_SECONDS = 6
SILENT_SECONDS = 60  # the sentinel goes round twice a second, but may wait half a minute for the database


class Cluster(django_q2.Cluster):
    """`run()` blocks until a signal asked for the end, or something died that cannot be replaced."""

    def __init__(self, *, silent_seconds: float = SILENT_SECONDS) -> None:
        super().__init__()
        self.silent_seconds = silent_seconds

    def run(self) -> None:
        """Raises SystemExit(1) when nobody asked for the end."""
        db.connections.close_all()  # what follows forks
        os.register_at_fork(after_in_child=Bond().tie)
        self.start()
        while self.sentinel.is_alive():
            self.sentinel.join(1)
            if time.monotonic() - _last_round.value > self.silent_seconds and not shutdown.requested():
                logger.critical("The cluster's sentinel hangs: the worker ends, to be started again.")
                self.sentinel.kill()
        if not shutdown.requested():
            raise SystemExit(1)

    def start(self) -> int:
        """As django-q2's own, with our sentinel."""
        self.stop_event, self.start_event = multiprocessing.Event(), multiprocessing.Event()
        arguments = (self.stop_event, self.start_event, self.cluster_id, self.broker, self.timeout)
        _last_round.value = time.monotonic()
        self.sentinel = multiprocessing.get_context("fork").Process(target=Sentinel, args=arguments)
        self.sentinel.start()
        return int(self.pid)

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


class Sentinel(django_q2.Sentinel):
    def status(self) -> str:
        """Asked in every round."""
        _last_round.value = time.monotonic()
        return str(super().status())

    def reincarnate(self, process: Any) -> None:
        """Replace a process that ended; but one that was killed while it was idle has left a queue's lock taken."""
        working = process in self.pool and process.timer.value > 0
        if (process.exitcode or 0) < 0 and not working:
            logger.critical("An idle process of the worker was killed: the worker ends, to be started again.")
            os._exit(1)  # the pool ends with it; no exit handler may wait for a lock
        super().reincarnate(process)


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


_last_round = RawValue(ctypes.c_double, 0.0)  # monotonic seconds; shared with the sentinel, which may be killed


def _kill_children() -> None:
    for child in psutil.Process().children(recursive=True):
        try:
            child.kill()
        except psutil.NoSuchProcess:
            continue
