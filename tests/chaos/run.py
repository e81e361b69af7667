"""One run: start, an undisturbed journey of each algorithm, kills while more of them go on, the end."""

import io
import json
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

from tests.chaos.journeys import Caller, Journeys
from tests.chaos.kills import EVERYTHING, KINDS, by_kind, kill_everything, kill_one, strayed
from tests.chaos.ledger import LOST, Ledger, Wrong
from tests.chaos.patient import Patient
from tests.running import ROOT, RunningConsole, start

Work = Callable[[threading.Event], None]

SETTLE_SECONDS = 60  # for the last kill's victims to be replaced and for the last leftovers to end
SHORTEST = 1.0  # seconds between two kills


class Chaos:
    """`seed` (a random one) is that of moments and victims; `variables` are the console's settings."""

    def __init__(
        self, home: Path, *, seed: int | None = None, patience: float = 300, variables: dict[str, str] | None = None
    ) -> None:
        self.home, self.patience = home, patience
        self.seed = random.SystemRandom().randrange(10**6) if seed is None else seed
        self.choice = random.Random(self.seed)
        self.ledger = Ledger()
        few = {"OMP_NUM_THREADS": "1", "WORKERS": "2", "TRAINING_SLOTS": "2"}
        self.variables = {**few, "SERVING_PRECISION": "fp32", **(variables or {})}  # else answers differ by design

    def run(
        self,
        algorithms: Sequence[str],
        *,
        kills: int,
        seconds: float,
        quick: bool = False,
        kinds: Sequence[str] = KINDS,
    ) -> Ledger:
        """`kills` kills at random moments of `seconds` seconds, while journeys of `algorithms` go on.

        `quick`: nothing is trained or built before the kills but one training of each, to compare with.
        """
        self.home.mkdir(parents=True, exist_ok=True)
        console = start(self.home, **self.variables)
        try:
            self.ledger.say("the console is ready")
            work = self._begin(console, algorithms, quick)
            self.ledger.say("what nothing disturbed is over")
            stop = threading.Event()
            threads = [threading.Thread(target=one, args=[stop]) for one in work]
            for thread in threads:
                thread.start()
            try:
                self._kill(console, kills, seconds, kinds)
            finally:
                stop.set()
                self.ledger.say("no more kills; the jobs end")
                for thread in threads:
                    thread.join()
            self._settle(console, engines=1)
            console.stop(90)
            self._note_left(Counter({kind: len(found) for kind, found in by_kind(console).items()}), "after the end")
        finally:
            kill_everything(console)
        return self.ledger

    def _begin(self, console: RunningConsole, algorithms: Sequence[str], quick: bool) -> list[Work]:
        """The undisturbed part. -> what goes on while processes are killed."""
        token = console.token()

        def patient() -> Patient:
            return Patient(console.url, token, self.patience)

        journeys = [Journeys(name, patient(), self.ledger, self.home) for name in algorithms]
        if quick:
            _together([journey.trained for journey in journeys])
            stage = _small_stage(console)
            models = [journey.models_until for journey in journeys]
        else:
            _together([partial(journey.first, serve=journey is journeys[0]) for journey in journeys])
            stage = {"url": journeys[0].endpoint["url"], "key": "", "image": journeys[0].image}
            models = []
        caller = Caller(patient(), self.ledger, **stage)
        return [*[journey.until for journey in journeys], *models, caller.until]

    def _kill(self, console: RunningConsole, kills: int, seconds: float, kinds: Sequence[str]) -> None:
        """The first ones are one of each kind, in random order, so that a short run has them all."""
        order = self.choice.sample(kinds, len(kinds))
        began = time.monotonic()
        for number, moment in enumerate(sorted(self.choice.uniform(0, seconds) for _ in range(kills))):
            time.sleep(max(SHORTEST, began + moment - time.monotonic()))
            kind, said = kill_one(console, self.choice, order[number : number + 1] or kinds)
            self.ledger.kill(kind, said)
            time.sleep(0.2)
            if console.process.poll() is not None:
                self._launch(console, kind)

    def _launch(self, console: RunningConsole, kind: str) -> None:
        """The launcher is nobody's child that would start it again: an administrator does."""
        try:
            with self.ledger.job("launcher", f"after kill {len(self.ledger.kills)}"):
                if kind not in ("launcher", EVERYTHING):
                    raise Wrong(LOST, f"it ended with {console.process.returncode} by itself")
        except Wrong:
            self.ledger.say(console.output()[-2000:])
        console.launch()

    def _settle(self, console: RunningConsole, engines: int) -> None:
        """Wait until every process of an idle console is there, and no other."""
        deadline = time.monotonic() + SETTLE_SECONDS
        while (over := strayed(console, engines)) and time.monotonic() < deadline:
            time.sleep(0.5)
            if console.process.poll() is not None:
                self._launch(console, "")
        self._note_left(over, "beside an idle console's")

    def _note_left(self, over: Counter[str], when: str) -> None:
        for kind, count in over.items():
            self.ledger.left[kind] += abs(count)
            self.ledger.say(f"{'LEFT BEHIND' if count > 0 else 'MISSING'} {when}: {abs(count)} x {kind}")


def _small_stage(console: RunningConsole) -> dict[str, Any]:
    """A stage whose model was neither trained nor exported: see tests/endpoints/colours.py."""
    command = [sys.executable, "-m", "tests.endpoints.deploy", "create", "colours"]
    said = subprocess.run(command, cwd=ROOT, env=console.environment, check=True, text=True, stdout=subprocess.PIPE)
    made = json.loads(said.stdout)
    image = io.BytesIO()
    Image.new("RGB", (12, 10), "blue").save(image, "PNG")
    return {"url": f"{console.url}{made['path']}", "key": made["key"], "image": image.getvalue()}


def _together(calls: Sequence[Callable[[], None]]) -> None:
    """Each in a thread of its own. Raises the first error."""
    with ThreadPoolExecutor(len(calls)) as pool:
        for future in [pool.submit(call) for call in calls]:
            future.result()
