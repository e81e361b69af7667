"""`make run`: bring the database up to date, then run every process of the Procfile until told to stop."""

import os
import socket
import sys
import time
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from honcho.environ import parse_procfile

from console.launcher import Launcher, answers, stop_leftovers
from training import heartbeats

BACKLOG = 2048  # connections that wait for the web process


class Command(BaseCommand):
    help = "Set up what is missing and run the whole console on this machine."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--host", default=os.environ.get("HOST", "127.0.0.1"))
        parser.add_argument("--port", type=int, default=settings.PORT)

    def handle(self, *, host: str, port: int, **options: Any) -> None:
        settings.RUN_FOLDER.mkdir(parents=True, exist_ok=True)
        state_file = settings.RUN_FOLDER / "launcher.json"
        for name in stop_leftovers(state_file, grace=settings.STOP_GRACE_SECONDS):
            self.stdout.write(f"Stopped {name}, left over from a console that was killed.")
        heartbeats.forget_own()  # of the run before: /readyz must not take them for a sign of life
        listener = self._bind(host, port)
        call_command("migrate", verbosity=0, interactive=False)
        call_command("console_setup")
        launcher = Launcher(
            state_file=state_file,
            kill_wait=settings.STOP_GRACE_SECONDS + 10,
            on_tick=self._announcer(host, port),
        )
        environment = {
            **os.environ,
            "PATH": f"{os.path.dirname(sys.executable)}:{os.environ.get('PATH', '')}",
            "HOST": host,
            "PORT": str(port),
            "WEB_FD": str(listener.fileno()),
            "PYTHONUNBUFFERED": "1",
        }
        for name, command in parse_procfile((settings.BASE_DIR / "Procfile").read_text()).processes.items():
            launcher.add_process(name, command, env=environment, cwd=str(settings.BASE_DIR))
        launcher.hand_down("web", listener)
        listener.listen(BACKLOG)
        launcher.loop()

    def _bind(self, host: str, port: int) -> socket.socket:
        """The web process's socket. It is ours, so that a restart of that process refuses no connection."""
        listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError as error:
            listener.close()
            raise CommandError(f"Port {port} on {host} cannot be used ({error}). Try PORT=8001 make run") from error
        return listener

    def _announcer(self, host: str, port: int) -> Any:
        """Print the address once, when every part of the console is up."""
        began, state = time.monotonic(), {"next": 0.0, "done": False}
        reachable = "127.0.0.1" if host in ("0.0.0.0", "::") else host

        def tick() -> None:
            if state["done"] or time.monotonic() < state["next"]:
                return
            state["next"] = time.monotonic() + 0.5
            if answers(reachable, port, "/readyz"):
                state["done"] = True
                seconds = time.monotonic() - began
                self.stdout.write(f"\n  The console is ready: http://{reachable}:{port}   ({seconds:.1f} s)\n\n")
                self.stdout.flush()

        return tick
