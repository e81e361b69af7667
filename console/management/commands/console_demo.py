"""`make demo`: zip to stage URL for the three algorithms, against a running console."""

import secrets
import tempfile
import time
import urllib.error
import urllib.request
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError
from knox.models import AuthToken

from console.demo import PLANS, Demo
from console.sdk import ApiError, Client

NOBODY = "nothing answers there"


class Command(BaseCommand):
    help = (
        "Take generated sample data of each algorithm through the running console: dataset, training, model, endpoint, "
        "stage URL. Prints the time of every step and the answers. Ends with 1 and the reason when a step fails."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--url", default=f"http://127.0.0.1:{settings.PORT}", help="of the console")
        parser.add_argument("--token", default="", help="an API token; default: one for --user, made and removed here")
        parser.add_argument("--user", default="admin", help="whose token is made (default: admin)")
        parser.add_argument("--algorithm", action="append", choices=list(PLANS), help="only this one; may be repeated")
        parser.add_argument("--patience", type=float, default=3600, help="seconds that a step may take (default: 3600)")
        parser.add_argument("--cleanup", action="store_true", help="delete in the end what was made")

    def handle(self, **options: Any) -> None:
        began = time.monotonic()
        self._wait_until_ready(options["url"])
        with self._token(options) as token, tempfile.TemporaryDirectory() as folder:
            suffix = f"{datetime.now():%m%d-%H%M%S}-{secrets.token_hex(1)}"
            demo = Demo(Client(options["url"], token), Path(folder), self._say, suffix, options["patience"])
            algorithms = options["algorithm"] or list(PLANS)
            try:
                for algorithm in algorithms:
                    demo.run(algorithm)
            except (ApiError, TimeoutError) as error:
                raise CommandError(f"The demo failed: {error}") from error
            finally:
                if options["cleanup"]:
                    demo.cleanup()
                    self._say(f"\nDeleted the {len(demo.made)} objects of this run.")
        self._say(f"\n{len(algorithms)} real answers in {time.monotonic() - began:.0f} s.")

    def _say(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()

    @contextmanager
    def _token(self, options: dict[str, Any]) -> Iterator[str]:
        """The token that was given, else one that lives as long as the demo."""
        if options["token"]:
            yield options["token"]
            return
        try:
            user = get_user_model().objects.filter(username=options["user"]).first()
        except DatabaseError as error:  # no table yet: the console that answers has another home
            text = f"No console was ever started in {settings.CONSOLE_HOME}: set CONSOLE_HOME to the running one's."
            raise CommandError(text) from error
        if user is None:
            raise CommandError(
                f"There is no user {options['user']!r} in the database of this CONSOLE_HOME: give --token."
            )
        row, token = AuthToken.objects.create(user)
        try:
            yield token
        finally:
            row.delete()

    def _wait_until_ready(self, url: str, seconds: float = 60) -> None:
        """Raises CommandError, with what is missing, when the console is not up in time."""
        deadline = time.monotonic() + seconds
        while (missing := _missing(url)) is not None:
            if missing.startswith(NOBODY) or time.monotonic() > deadline:
                raise CommandError(f"The console at {url} is not ready: {missing}. Start it with `make run`.")
            time.sleep(1)


def _missing(url: str) -> str | None:
    """What /readyz says; None when everything is there."""
    try:
        with urllib.request.urlopen(f"{url.rstrip('/')}/readyz", timeout=10):
            return None
    except urllib.error.HTTPError as error:
        return error.read().decode(errors="replace")[:300]
    except OSError as error:
        return f"{NOBODY} ({getattr(error, 'reason', error)})"
