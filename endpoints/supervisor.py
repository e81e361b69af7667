"""Keeps the engine processes of every resource of every stage alive, and says so in the stages' statuses.

`Supervisor.step()` compares what the database wants with what runs, and takes one step towards it. It
keeps nothing that matters: the next supervisor finds the engines by their command lines and goes on.
"""

import fcntl
import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import groupby
from pathlib import Path

from django.conf import settings
from django.db import Error, connection

from endpoints import deployments, host, processes, routes
from endpoints.fleet import Fleet
from endpoints.models import Stage, StageResource
from endpoints.patience import Patience
from endpoints.places import Place
from endpoints.processes import EngineProcess
from endpoints.services import stage_remove
from training import heartbeats
from training.algorithms.base import Message, gettext_noop

log = logging.getLogger(__name__)

TICK_SECONDS = 0.3


class AlreadyRunning(Exception):
    """Another supervisor serves this CONSOLE_HOME."""


class Supervisor:
    def __init__(self, patience: Patience | None = None) -> None:
        self.fleet = Fleet(patience)

    @property
    def engines(self) -> dict[Place, EngineProcess]:
        return self.fleet.engines

    def run(self, stopping: threading.Event) -> None:
        """Until `stopping` is set; then stop every engine. Raises AlreadyRunning."""
        with only_one():
            self.adopt()
            to_publish = True
            while not stopping.is_set():
                try:
                    if to_publish:
                        routes.publish()
                        to_publish = False
                    self.step()
                    heartbeats.beat("stages")
                except Error:
                    log.exception("The database did not answer; the engines go on")
                    connection.close()
                except OSError:
                    log.exception("The disk refused; the engines go on")
                    to_publish = True
                stopping.wait(TICK_SECONDS)
            self.stop_all()

    def adopt(self) -> None:
        """Take over the engines that an earlier supervisor left running; kill those of no stage."""
        rows = {row.pk: row for row in deployments.rows()}
        for engine in processes.running_engines():
            row = rows.get(engine.place.resource_id)
            if row is None or not deployments.wanted(row) or engine.place in self.engines:
                log.info("Engine %s belongs to no stage: killed", engine.process)
                engine.kill()
                continue
            log.info("Engine %s of %s goes on", engine.process, engine.socket.name)
            if _answered(engine.place, row):
                engine.is_ready(row.settings)
            self.engines[engine.place] = engine
        for row in rows.values():
            if row.serving == 0 and not self.fleet.crew(row, 0):
                deployments.forget(row)  # of a console that did not count deployments, and its engine is gone

    def step(self) -> None:
        rows = {row.pk: row for row in deployments.rows()}
        for engine in list(self.engines.values()):
            self.fleet.watch(engine, rows.get(engine.place.resource_id))
        self.fleet.forget_troubles(rows.values())
        self.fleet.share_cores(rows.values())
        for row in rows.values():
            self.fleet.staff(row)
            self._route(row)
        for stage, resources in groupby(rows.values(), key=lambda row: row.stage):
            deployments.settle(stage, list(resources))
        self._finish_deletions()

    def _route(self, row: StageResource) -> None:
        """Send the resource's calls to the engines that are ready: the new deployment's, once it can take them all."""
        if row.deployment != row.serving and row.deployment in deployments.wanted(row):
            ready = self.fleet.ready(row, row.deployment)
            enough = min(host.replicas(row), len(row.sockets) or 1)
            if ready and (len(ready) >= enough or _seconds_ready(ready[0]) > self.fleet.patience.together):
                deployments.switch(row, ready)
        if row.serving is not None:
            names = [engine.socket.name for engine in self.fleet.ready(row, row.serving)]
            deployments.set_sockets(row, sorted(names))

    def _finish_deletions(self) -> None:
        for stage in Stage.objects.filter(status=Stage.Status.DELETE_IN_PROGRESS).prefetch_related("resources"):
            ids = {resource.pk for resource in stage.resources.all()}
            if not any(place.resource_id in ids for place in self.engines):
                stage_remove(stage=stage)
                for pk in ids:
                    processes.forget(pk)

    def stop_all(self) -> None:
        """Let every engine answer what it has begun, then end it; no new call is sent to it."""
        self.fleet.stop()
        try:
            reason = Message(gettext_noop("The console was stopped. The engines start again with it."))
            for row in deployments.rows():
                if row.sockets:
                    deployments.set_sockets(row, [])
                    deployments.unready(row.stage, reason)
        finally:
            self.fleet.end()
        with suppress(OSError):  # something else is in it
            routes.engines_folder().rmdir()


def _answered(place: Place, row: StageResource) -> bool:
    """Whether the earlier supervisor found this engine ready. One that did not count deployments noted no name."""
    return place.socket.name in row.sockets or (place.deployment == 0 == row.serving)


def _seconds_ready(engine: EngineProcess) -> float:
    return time.monotonic() - (engine.ready_since or time.monotonic())


@contextmanager
def only_one() -> Iterator[None]:
    """Hold the lock that a second supervisor of this CONSOLE_HOME finds taken. A killed one lets go of it."""
    path = Path(settings.RUN_FOLDER) / "stages.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise AlreadyRunning(f"Another stage supervisor serves {settings.CONSOLE_HOME}.") from error
        yield
