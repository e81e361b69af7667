"""The engine processes themselves: started, watched, replaced, let go, as the rows want it."""

import logging
import signal
import time
from collections import defaultdict
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from django.conf import settings

from endpoints import deployments, host, processes
from endpoints.models import Stage, StageResource
from endpoints.patience import Patience, Trouble
from endpoints.places import Place
from endpoints.processes import EngineProcess, Order
from training import disk
from training.algorithms.base import Message, gettext_noop
from training.disk import readable

log = logging.getLogger(__name__)

LOAD_FAILED = 1  # an engine's exit code: it says on its last line why the model cannot be served
DISK_PAUSE_SECONDS = 10.0  # before an engine that a full disk kept from starting is tried again
STARTING_AT_ONCE = 4  # after a reboot, all stages want to load their model at the same moment
LEAST_MEMORY_LIMIT = 2 * 1024**3
MEMORY_GROWTH = 4  # times what it took when it became ready


class Fleet:
    """The engines of this host. `threads`: of each one that is started."""

    def __init__(self, patience: Patience | None = None) -> None:
        self.patience = patience or Patience()
        self.engines: dict[Place, EngineProcess] = {}
        self.threads = 1
        self._troubles: defaultdict[tuple[str, int], Trouble] = defaultdict(Trouble)
        self._pool = ThreadPoolExecutor(16, "probe")

    def crew(self, row: StageResource, deployment: int) -> list[EngineProcess]:
        """The engines of one deployment that take calls, or will; the longest ready first."""
        found = [e for e in self.engines.values() if e.place[:2] == (row.pk, deployment) and not e.going]
        return sorted(found, key=lambda engine: (engine.ready_since or time.monotonic(), engine.place.replica))

    def ready(self, row: StageResource, deployment: int) -> list[EngineProcess]:
        return [engine for engine in self.crew(row, deployment) if engine.ready]

    def share_cores(self, rows: Iterable[StageResource]) -> None:
        """Among the engines that the rows want."""
        self.threads = host.threads(sum(host.replicas(row) for row in rows if deployments.wanted(row)))

    def watch(self, engine: EngineProcess, row: StageResource | None) -> None:
        """`row`: of its resource; None when that is gone."""
        if not engine.running():
            self._ended(engine, row)
        elif engine.stop_by is not None:
            engine.kill_if_overdue()
        elif row is None or row.stage.status == Stage.Status.DELETE_IN_PROGRESS:
            engine.stop(self.patience.stop)
        elif engine.leave_at is not None:
            if time.monotonic() > engine.leave_at:
                engine.stop(self.patience.finish)
        elif engine.place.deployment in deployments.wanted(row):
            self._check(engine, row)
        elif engine.ready or engine.child is None:
            engine.leave(self.patience.linger)  # another deployment answers in its place
        else:
            engine.stop(self.patience.stop)

    def _check(self, engine: EngineProcess, row: StageResource) -> None:
        """Is it ready, still ready, hung, or too large?"""
        engine.ask(self._pool, every=1.0 if engine.ready else 0.2, within=self.patience.probe)
        if engine.ready_since is None:
            if time.monotonic() - engine.started > self.patience.ready:
                self._late(engine, row)
        elif engine.silent_for(self.patience.hung):
            log.warning("Engine %s of %s does not answer: killed", engine.process, engine.place.socket.name)
            engine.hung = True
            engine.kill()
        else:
            if time.monotonic() - engine.ready_since > self.patience.steady:
                self._troubles.pop(engine.place[:2], None)
            self._weigh(engine, row)

    def _late(self, engine: EngineProcess, row: StageResource) -> None:
        """It is not ready in time. Where others of its deployment are, that is no reason to give the deployment up."""
        engine.stop(self.patience.stop)
        deployment = engine.place.deployment
        if self.ready(row, deployment):
            self._troubles[engine.place[:2]].add()
            return
        text = gettext_noop("%(model)s was not ready to answer within %(seconds)s seconds.\n%(log)s")
        deployments.fail(row, deployment, text, seconds=f"{self.patience.ready:g}")

    def _weigh(self, engine: EngineProcess, row: StageResource) -> None:
        """An engine that takes more and more memory is replaced before the system has to kill something."""
        limit = memory_limit(engine.bytes_when_ready)
        size = engine.memory()
        if size <= limit or engine.outgrown:
            return
        engine.outgrown = True
        self._troubles[engine.place[:2]].add()  # so that a limit below what every engine needs is no busy loop
        text = gettext_noop("An engine of %(model)s took %(size)s of memory, more than %(limit)s, and is replaced.")
        params = {"model": row.model.name, "size": readable(size), "limit": readable(limit)}
        deployments.note(row, Message(text, params))

    def staff(self, row: StageResource) -> None:
        """Start what the row's deployments miss, one engine at a time; let go of what they have too much."""
        count = host.replicas(row)
        for deployment in deployments.wanted(row):
            crew = self.crew(row, deployment)
            staying = [engine for engine in crew if not engine.outgrown]
            if len(staying) < count:
                self._start(row, deployment)
            elif all(engine.ready for engine in staying[:count]):
                for engine in crew:
                    if engine not in staying[:count]:
                        engine.leave(self.patience.linger)

    def _start(self, row: StageResource, deployment: int) -> None:
        starting = sum(not engine.ready and not engine.going for engine in self.engines.values())
        trouble = self._troubles[row.pk, deployment]
        if trouble.pausing or starting >= STARTING_AT_ONCE:
            return
        model = deployments.model_of(row, deployment)
        if not model.folder.is_dir():
            deployments.fail(row, deployment, gettext_noop("The files of the model %(model)s are missing."))
            return
        try:
            engine = processes.start(self.order(row, deployment))
        except OSError as error:
            self._cannot_start(row, deployment, error)
        else:
            self.engines[engine.place] = engine
            log.info("Engine %s started for %s", engine.process, engine.socket.name)

    def order(self, row: StageResource, deployment: int) -> Order:
        """The next engine of that deployment: at a free place, on the GPU that has the fewest."""
        taken = {place.replica for place in self.engines if place[:2] == (row.pk, deployment)}
        place = Place(row.pk, deployment, min(set(range(len(taken) + 1)) - taken))
        gpu = host.least_used_gpu([engine.gpu for engine in self.engines.values()])
        model = deployments.model_of(row, deployment)
        tuning, runs_on = deployments.tuning(row, deployment), deployments.runs_on(row, deployment)
        return Order(place, model, row.path, self.threads, gpu, *tuning, *runs_on)

    def _cannot_start(self, row: StageResource, deployment: int, error: OSError) -> None:
        """Failed, except on a disk that refuses: that is tried again, and ends when there is room."""
        text, why = gettext_noop("The engine of %(model)s cannot be started: %(error)s"), disk.reason(error)
        if why is None:
            return deployments.fail(row, deployment, text, error=str(error))
        self._troubles[row.pk, deployment].pause(DISK_PAUSE_SECONDS)
        if not row.sockets:
            deployments.unready(row.stage, Message(text, {"model": row.model.name, "error": why}))

    def _ended(self, engine: EngineProcess, row: StageResource | None) -> None:
        """An engine is gone: as asked, or it died and is replaced, or its deployment is given up."""
        engine.kill()  # whatever is left of its session
        engine.socket.unlink(missing_ok=True)
        del self.engines[engine.place]
        deployment = engine.place.deployment
        if row is None or engine.going or deployment not in deployments.wanted(row):
            return
        deaths = self._troubles[engine.place[:2]].add()
        text, limit = self._diagnosis(engine, answered=deployment == row.serving)
        log.warning("Engine %s of %s ended with %s", engine.process, engine.socket.name, engine.exit_code)
        if deaths >= limit and not self.ready(row, deployment):
            code = "?" if engine.exit_code is None else engine.exit_code
            deployments.fail(row, deployment, text, deaths=deaths, code=code)
        elif engine.ready:
            lost = gettext_noop("The engine of %(model)s ended or stopped answering, and is replaced.")
            deployments.note(row, Message(lost, {"model": row.model.name}))

    def _diagnosis(self, engine: EngineProcess, answered: bool) -> tuple[str, int]:
        """-> (what to say when this happened once too often, how often is too often).

        `answered`: its deployment has answered before, so that there is reason to believe that it can.
        """
        if engine.exit_code == LOAD_FAILED and not engine.ready:
            return gettext_noop("The model %(model)s cannot be served.\n%(log)s"), self.patience.failed_loads
        limit = self.patience.deaths if engine.ready or answered else self.patience.failed_starts
        if engine.hung:
            return gettext_noop("The engine of %(model)s stopped answering %(deaths)s times in a row.\n%(log)s"), limit
        if engine.exit_code == -signal.SIGKILL:
            return gettext_noop(
                "The engine of %(model)s was killed %(deaths)s times in a row. "
                "The usual cause is too little memory.\n%(log)s"
            ), limit
        return gettext_noop("The engine of %(model)s ended %(deaths)s times in a row (code %(code)s).\n%(log)s"), limit

    def forget_troubles(self, rows: Iterable[StageResource]) -> None:
        """Of deployments that nobody wants any more: asked for again, they begin anew."""
        wanted = {(row.pk, deployment) for row in rows for deployment in deployments.wanted(row)}
        for key in self._troubles.keys() - wanted:
            del self._troubles[key]

    def stop(self) -> None:
        """Let every engine answer what it has begun, then end it. Bounded by the grace time."""
        for engine in self.engines.values():
            engine.stop(self.patience.stop)

    def end(self) -> None:
        """Wait for what `stop` asked, then kill what is left."""
        deadline = time.monotonic() + self.patience.stop
        while time.monotonic() < deadline and any(engine.running() for engine in self.engines.values()):
            time.sleep(0.05)
        for engine in self.engines.values():
            engine.kill()
            engine.socket.unlink(missing_ok=True)
        self._pool.shutdown(wait=False, cancel_futures=True)


def memory_limit(bytes_when_ready: int) -> int:
    """How large an engine may become before it is replaced."""
    return settings.STAGE_ENGINE_MEMORY_BYTES or max(LEAST_MEMORY_LIMIT, MEMORY_GROWTH * bytes_when_ready)
