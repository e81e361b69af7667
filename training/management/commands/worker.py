"""The worker for everything but trainings: ingests, model builds, the minute's reconcile."""

from typing import Any

from django.core.management.base import BaseCommand

from training import tasks
from training.cluster import Cluster


class Command(BaseCommand):
    help = "Do the console's short jobs, WORKERS at a time."
    requires_system_checks = ()  # `make run` makes them; they load every page, and this process shows none

    def handle(self, *args: Any, **options: Any) -> None:
        cluster = Cluster()  # from here on it hears signals
        tasks.start_over()
        cluster.run()
