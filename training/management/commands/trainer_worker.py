"""The worker that runs trainings. On SIGTERM its trainers save a checkpoint; killed, it leaves them to the next one."""

import os
import sys
from typing import Any

from django.core.management.base import BaseCommand

from training import queue, reconcile
from training.cluster import Cluster


class Command(BaseCommand):
    help = "Run trainings, TRAINING_SLOTS at a time."
    requires_system_checks = ()  # `make run` makes them; they load every page, and this process shows none

    def handle(self, *args: Any, **options: Any) -> None:
        if os.environ.get("Q_CLUSTER_NAME") != queue.CLUSTER:
            # django-q2 reads its cluster's name once, when it is imported: that was before this line.
            environment = {**os.environ, "Q_CLUSTER_NAME": queue.CLUSTER}
            os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)
        cluster = Cluster()  # from here on it hears signals
        reconcile.start_over()
        cluster.run()
