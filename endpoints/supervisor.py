"""Keeps one engine process alive for every resource of every stage, and says so in the stages' statuses.

`Supervisor.step()` compares what the database wants with what runs, and takes one step towards it. It
keeps nothing that matters: the next supervisor finds the engines by their command lines and goes on.
"""

import fcntl
import logging
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from django.conf import settings
from django.db import Error, connection, transaction

from endpoints import processes, routes
from endpoints.models import Stage, StageResource
from endpoints.processes import EngineProcess
from endpoints.services import endpoint_refresh, stage_remove
from training import disk, heartbeats, lifecycle
from training.algorithms.base import Message, gettext_noop

log = logging.getLogger(__name__)

DEPLOYED = {Stage.Status.CREATE_REQUESTED, Stage.Status.DEPLOY_IN_PROGRESS, Stage.Status.ACTIVE}
LOAD_FAILED = 1  # an engine's exit code: it says on its last line why the model cannot be served
DISK_PAUSE_SECONDS = 10.0  # before an engine that a full disk kept from starting is tried again
STARTING_AT_ONCE = 4  # after a reboot, all stages want to load their model at the same moment
TICK_SECONDS = 0.3


@dataclass(frozen=True)
class Patience:
    """How long to wait before giving up, in seconds, and how many deaths in a row are too many.

    `steady`: an engine that was ready for so long has lived down its earlier deaths.
    """

    ready: float = 180
    probe: float = 5
    hung: float = 15
    stop: float = 10
    steady: float = 60
    deaths: int = 5
    failed_starts: int = 3
    failed_loads: int = 2


@dataclass
class Trouble:
    """How often one resource's engine died without having been ready for a while in between."""

    deaths: int = 0
    not_before: float = 0

    def add(self) -> int:
        """Note a death. -> their number; the pause before the next start doubles each time."""
        self.deaths += 1
        self.not_before = time.monotonic() + 0.25 * 2 ** (self.deaths - 1)
        return self.deaths


class AlreadyRunning(Exception):
    """Another supervisor serves this CONSOLE_HOME."""


class Supervisor:
    def __init__(self, patience: Patience | None = None) -> None:
        self.patience = patience or Patience()
        self.engines: dict[str, EngineProcess] = {}
        self._troubles: dict[str, Trouble] = {}
        self._pool = ThreadPoolExecutor(16, "probe")

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
        """Take over the engines that an earlier supervisor left running; stop those that nobody wants."""
        rows = {row.pk: row for row in _resources()}
        for engine in processes.running_engines():
            row = rows.get(engine.resource_id)
            if row is None or not _wanted(row) or row.pk in self.engines:
                log.info("Engine %s belongs to no stage: killed", engine.process)
                engine.kill()
                continue
            log.info("Engine %s of %s goes on", engine.process, row.pk)
            if row.settings:
                engine.info, engine.ready_since = row.settings, time.monotonic()
            self.engines[row.pk] = engine

    def step(self) -> None:
        rows = {row.pk: row for row in _resources()}
        for engine in list(self.engines.values()):
            self._watch(engine, rows.get(engine.resource_id))
        for row in rows.values():
            if not _wanted(row):
                self._troubles.pop(row.pk, None)
            elif row.pk not in self.engines:
                self._start(row)
        for stage, resources in groupby(rows.values(), key=lambda row: row.stage):
            self._settle(stage, list(resources))
        self._finish_deletions()

    def _watch(self, engine: EngineProcess, row: StageResource | None) -> None:
        if not engine.running():
            self._ended(engine, row)
        elif engine.stop_by is not None:
            engine.kill_if_overdue()
        elif row is None or not _wanted(row) or (engine.info and not row.settings):
            engine.stop(self.patience.stop)  # deleted, failed, or to be deployed again
        else:
            self._check(engine, row)

    def _check(self, engine: EngineProcess, row: StageResource) -> None:
        """Is it ready, still ready, or hung?"""
        was_ready = engine.ready
        engine.ask(self._pool, every=1.0 if was_ready else 0.2, within=self.patience.probe)
        if engine.ready and not was_ready:
            row.settings, row.sockets = engine.info, [engine.socket.name]
            StageResource.objects.filter(pk=row.pk).update(settings=row.settings, sockets=row.sockets)
            routes.publish()
        elif was_ready and engine.silent_for(self.patience.hung):
            log.warning("Engine %s of %s does not answer: killed", engine.process, row.pk)
            engine.hung = True
            engine.kill()
        elif engine.ready_since is not None:
            if time.monotonic() - engine.ready_since > self.patience.steady:
                self._troubles.pop(row.pk, None)
        elif time.monotonic() - engine.started > self.patience.ready:
            engine.stop(self.patience.stop)
            text = gettext_noop("%(model)s was not ready to answer within %(seconds)s seconds.\n%(log)s")
            self._fail(row, text, seconds=f"{self.patience.ready:g}")

    def _start(self, row: StageResource) -> None:
        starting = sum(not engine.ready for engine in self.engines.values())
        if time.monotonic() < self._trouble(row).not_before or starting >= STARTING_AT_ONCE:
            return
        if not row.model.folder.is_dir():
            self._fail(row, gettext_noop("The files of the model %(model)s are missing."))
            return
        self._unready(row, Message(gettext_noop("The engine of %(model)s is started."), {"model": row.model.name}))
        try:
            self.engines[row.pk] = processes.start(row)
        except OSError as error:
            self._cannot_start(row, error)
        else:
            log.info("Engine %s started for %s", self.engines[row.pk].process, row.pk)

    def _cannot_start(self, row: StageResource, error: OSError) -> None:
        """Failed, except on a disk that refuses: that is tried again, and ends when there is room."""
        text, why = gettext_noop("The engine of %(model)s cannot be started: %(error)s"), disk.reason(error)
        if why is None:
            return self._fail(row, text, error=str(error))
        self._trouble(row).not_before = time.monotonic() + DISK_PAUSE_SECONDS
        self._unready(row, Message(text, {"model": row.model.name, "error": why}))

    def _ended(self, engine: EngineProcess, row: StageResource | None) -> None:
        """An engine is gone: as asked, or it died and is replaced, or it died too often."""
        engine.kill()  # whatever is left of its session
        del self.engines[engine.resource_id]
        if row is None or engine.stop_by is not None or not _wanted(row):
            return
        deaths = self._trouble(row).add()
        text, limit = self._diagnosis(engine)
        log.warning("Engine %s of %s ended with %s", engine.process, row.pk, engine.exit_code)
        if deaths >= limit:
            self._fail(row, text, deaths=deaths, code="?" if engine.exit_code is None else engine.exit_code)
        else:
            lost = gettext_noop("The engine of %(model)s ended or stopped answering, and is replaced.")
            self._unready(row, Message(lost, {"model": row.model.name}))

    def _diagnosis(self, engine: EngineProcess) -> tuple[str, int]:
        """-> (what to say when this happened once too often, how often is too often)."""
        if engine.exit_code == LOAD_FAILED and not engine.ready:
            return gettext_noop("The model %(model)s cannot be served.\n%(log)s"), self.patience.failed_loads
        limit = self.patience.deaths if engine.ready else self.patience.failed_starts
        if engine.hung:
            return gettext_noop("The engine of %(model)s stopped answering %(deaths)s times in a row.\n%(log)s"), limit
        if engine.exit_code == -signal.SIGKILL:
            return gettext_noop(
                "The engine of %(model)s was killed %(deaths)s times in a row. "
                "The usual cause is too little memory.\n%(log)s"
            ), limit
        return gettext_noop("The engine of %(model)s ended %(deaths)s times in a row (code %(code)s).\n%(log)s"), limit

    def _fail(self, row: StageResource, text: str, **params: object) -> None:
        """The deployment failed. The engine is not started again until somebody asks for it."""
        params = {**params, "model": row.model.name, "log": processes.last_lines(row.pk)}
        _forget_settings(row)
        _move(row.stage, Stage.Status.DEPLOY_FAILED, Message(text, params))

    def _unready(self, row: StageResource, reason: Message) -> None:
        _forget_settings(row)
        if row.stage.status != Stage.Status.DEPLOY_IN_PROGRESS:
            _move(row.stage, Stage.Status.DEPLOY_IN_PROGRESS, reason)

    def _settle(self, stage: Stage, resources: list[StageResource]) -> None:
        if stage.status == Stage.Status.DEPLOY_IN_PROGRESS and all(row.settings for row in resources):
            _move(stage, Stage.Status.ACTIVE)
            for row in resources:
                log.info("Stage %s: %s is ready", stage.pk, row.path)

    def _trouble(self, row: StageResource) -> Trouble:
        return self._troubles.setdefault(row.pk, Trouble())

    def _finish_deletions(self) -> None:
        for stage in Stage.objects.filter(status=Stage.Status.DELETE_IN_PROGRESS).prefetch_related("resources"):
            ids = [resource.pk for resource in stage.resources.all()]
            if not any(pk in self.engines for pk in ids):
                stage_remove(stage=stage)
                for pk in ids:
                    processes.forget(pk)

    def stop_all(self) -> None:
        """Let every engine answer what it has begun, then end it. Bounded by the grace time."""
        for engine in self.engines.values():
            engine.stop(self.patience.stop)
        deadline = time.monotonic() + self.patience.stop
        while time.monotonic() < deadline and any(engine.running() for engine in self.engines.values()):
            time.sleep(0.05)
        for engine in self.engines.values():
            engine.kill()
            engine.socket.unlink(missing_ok=True)
        self._pool.shutdown(wait=False, cancel_futures=True)
        reason = Message(gettext_noop("The console was stopped. The engines start again with it."))
        for row in _resources():
            if row.settings:
                self._unready(row, reason)
        with suppress(OSError):  # something else is in it
            routes.engines_folder().rmdir()


def _resources() -> list[StageResource]:
    """Stage by stage."""
    return list(StageResource.objects.select_related("model", "stage__endpoint").order_by("stage_id", "created_at"))


def _wanted(row: StageResource) -> bool:
    """Whether an engine should run: of a stage that failed, those that were ready go on answering."""
    return row.stage.status in DEPLOYED or (row.stage.status == Stage.Status.DEPLOY_FAILED and bool(row.settings))


def _forget_settings(row: StageResource) -> None:
    """Nothing answers for this resource now."""
    if row.settings:
        row.settings, row.sockets = {}, []
        StageResource.objects.filter(pk=row.pk).update(settings={}, sockets=[])
        routes.publish()


def _move(stage: Stage, to: str, reason: Message | None = None) -> None:
    """Write the stage's status, and the endpoint's that follows from it."""
    with transaction.atomic():
        if lifecycle.allowed(stage, to):
            lifecycle.move(stage, to, reason=reason)
            endpoint_refresh(stage.endpoint)
            transaction.on_commit(routes.publish)


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
