"""One run: start, an undisturbed journey of each algorithm, kills while more of them go on, the end."""

import random
import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from console.sdk import Client
from tests.chaos.journeys import PLANS, Journeys
from tests.chaos.kills import EVERYTHING, KINDS, by_kind, kill_everything, kill_one, strayed
from tests.chaos.ledger import LOST, Ledger, Wrong
from tests.running import RunningConsole, start

SETTLE_SECONDS = 60  # for the last kill's victims to be replaced and for the last leftovers to end
SHORTEST = 1.0  # seconds between two kills


class Chaos:
    def __init__(self, *, home: Path, seed: int, patience: float, variables: dict[str, str]) -> None:
        self.home, self.patience = home, patience
        self.choice = random.Random(seed)
        self.ledger = Ledger()
        self.variables = {"OMP_NUM_THREADS": "1", "WORKERS": "2", "TRAINING_SLOTS": "2", **variables}

    def run(self, algorithms: Sequence[str] | None, *, kills: int, seconds: float) -> Ledger:
        """`kills` kills at random moments of `seconds` seconds, while journeys of `algorithms` (all) go on."""
        self.home.mkdir(parents=True, exist_ok=True)
        console = start(self.home, **self.variables)
        try:
            self.ledger.say("the console is ready")
            token = console.token()
            clients = [(algorithm, Client(console.url, token, timeout=60)) for algorithm in algorithms or PLANS]
            journeys = [Journeys(name, client, self.ledger, self.home, self.patience) for name, client in clients]
            _together([lambda j=journey: j.first(serve=j is journeys[0]) for journey in journeys])
            self.ledger.say("the undisturbed journeys are over")
            stop = threading.Event()
            work = [*[lambda j=journey: j.until(stop) for journey in journeys], lambda: journeys[0].call_until(stop)]
            threads = [threading.Thread(target=one) for one in work]
            for thread in threads:
                thread.start()
            try:
                self._kill(console, kills, seconds)
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

    def _kill(self, console: RunningConsole, kills: int, seconds: float) -> None:
        """The first ones are one of each kind, in random order, so that a short run has them all."""
        order = self.choice.sample(KINDS, len(KINDS))
        mean = seconds / kills
        deadline = time.monotonic() + seconds
        for number in range(kills):
            pause = min(max(self.choice.expovariate(1 / mean), SHORTEST), 3 * mean)
            time.sleep(max(0.0, min(pause, deadline - time.monotonic())))
            kinds = KINDS if number >= len(order) else (order[number],)
            kind, said = kill_one(console, self.choice, kinds)
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


def _together(calls: list) -> None:
    errors: list[BaseException] = []

    def run(call) -> None:
        try:
            call()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=[call]) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
