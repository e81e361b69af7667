"""`manage.py serve_stages`: the stage supervisor. SIGTERM or SIGINT stops it and every engine."""

import signal
import threading
from types import FrameType
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from endpoints.supervisor import AlreadyRunning, Patience, Supervisor


class Command(BaseCommand):
    help = "Keep an engine process alive for every stage."
    requires_system_checks = ()  # `make run` makes them; they load every page, and this process shows none

    def handle(self, *args: Any, **options: Any) -> None:
        stopping = threading.Event()

        def stop(number: int, frame: FrameType | None) -> None:
            stopping.set()

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        try:
            Supervisor(Patience(ready=settings.ENGINE_READY_SECONDS)).run(stopping)
        except AlreadyRunning as error:
            raise CommandError(str(error)) from error
