"""Load a stage URL for long, at a share of what it can do, and kill its engine every minute. Ends with 1 when an answer
was wrong or lost, when an error came that is not promised, or when a process grew.

python -m tests.chaos.soak --minutes 20 --share 0.8 --every 60

The network is ResNet-50 at 28 pixels with random weights. What it answers before the first kill is what it must answer
ever after. Calls are made at fixed times, however long the answers take (an open loop), so that a pause shows.
"""

import argparse
import asyncio
import base64
import io
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import psutil

from benchmarks.serving import CASES, make_model
from models_registry.export import generated_images
from tests.running import ROOT, RunningConsole, running_console

IMAGES = 8
CALLERS = 16  # that find out what the stage can do
CAPACITY_SECONDS = 15.0
ANSWER_SECONDS = 70
PROMISED = {429, 503}  # while an engine is replaced and once too many wait for it; with Retry-After
SCORE = 1e-3  # by how much a score may differ: images that share a batch are summed up in another order
GROWN = 1.15  # times what a process held after a fifth of the time


class Soak:
    def __init__(self, url: str, key: str) -> None:
        self.url, self.headers = url, {"X-API-Key": key, "Content-Type": "application/json"}
        self.bodies = list(bodies())
        self.expected: list[dict[str, float]] = []
        self.counts: Counter[str] = Counter()
        self.milliseconds: list[float] = []
        self.memory: dict[str, list[float]] = {}

    async def prepare(self, session: aiohttp.ClientSession) -> float:
        """Learn the right answers. -> calls a second that the stage can do"""
        for body in self.bodies:
            status, answer = await self._ask(session, body)
            assert status == 200, answer
            self.expected.append(scores(answer))
        done, began = 0, time.perf_counter()

        async def caller() -> None:
            nonlocal done
            while time.perf_counter() - began < CAPACITY_SECONDS:
                await self._ask(session, self.bodies[done % IMAGES])
                done += 1

        await asyncio.gather(*(caller() for _ in range(CALLERS)))
        return done / (time.perf_counter() - began)

    async def _ask(self, session: aiohttp.ClientSession, body: bytes) -> tuple[int, Any]:
        """-> (status, answer). A refusal that does not say when to come back counts as lost."""
        async with session.post(self.url, data=body, headers=self.headers) as response:
            if response.status in PROMISED and "Retry-After" not in response.headers:
                raise ValueError("no Retry-After")
            return response.status, await response.json()

    async def call(self, session: aiohttp.ClientSession, number: int) -> None:
        """One call, and what came of it: right, wrong, lost, or its status."""
        began = time.perf_counter()
        try:
            status, answer = await self._ask(session, self.bodies[number % IMAGES])
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            self.counts[f"lost ({type(error).__name__})"] += 1
            return
        self.milliseconds.append((time.perf_counter() - began) * 1000)
        if status != 200:
            self.counts[f"status {status}"] += 1
        else:
            self.counts["right" if same(scores(answer), self.expected[number % IMAGES]) else "wrong"] += 1

    async def load(self, session: aiohttp.ClientSession, rate: float, seconds: float) -> None:
        """`rate` calls a second, each at its time."""
        began, tasks = time.perf_counter(), set()
        for number in range(int(rate * seconds)):
            await asyncio.sleep(max(0.0, began + number / rate - time.perf_counter()))
            task = asyncio.create_task(self.call(session, number))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        await asyncio.gather(*tasks)

    async def kill(self, console: RunningConsole, every: float, seconds: float) -> None:
        """SIGKILL an engine every so often; note every ten seconds what the processes hold."""
        began, kills = time.monotonic(), 0
        while (elapsed := time.monotonic() - began) < seconds:
            for name, megabytes in await asyncio.to_thread(held, console):
                self.memory.setdefault(name, []).append(megabytes)
            if elapsed > every * (kills + 1):
                kills += 1
                for process in await asyncio.to_thread(engines, console):
                    process.kill()
                    self.counts["kills"] += 1
                    print(f"{elapsed:7.1f} s  engine {process.pid} killed; {dict(self.counts)}", flush=True)
            await asyncio.sleep(10)

    def grown(self) -> list[str]:
        """What each process held after a fifth of the time and at the end; one that grew says so."""
        lines = []
        for name, seen in sorted(self.memory.items()):
            fifth = max(1, len(seen) // 5)
            early, late = statistics.median(seen[fifth : 2 * fifth] or seen), statistics.median(seen[-fifth:])
            lines.append(f"{name}: {early:.0f} MB, {late:.0f} MB{' GREW' if late > early * GROWN + 10 else ''}")
        return lines


def bodies() -> Iterator[bytes]:
    for image in generated_images(IMAGES, CASES[0].image):
        file = io.BytesIO()
        image.save(file, "PNG")
        yield json.dumps({"instances": [{"data": base64.b64encode(file.getvalue()).decode()}]}).encode()


def scores(answer: Any) -> dict[str, float]:
    return {row["label"]: row["score"] for row in answer}


def same(one: dict[str, float], other: dict[str, float]) -> bool:
    return one.keys() == other.keys() and all(abs(one[label] - other[label]) < SCORE for label in one)


def engines(console: RunningConsole) -> list[psutil.Process]:
    return [process for process in console.processes() if kind_of(process) == "engine"]


def kind_of(process: psutil.Process) -> str:
    command = " ".join(process.cmdline())
    for part, name in (("endpoints.engine", "engine"), ("console.web", "web"), ("serve_stages", "stages")):
        if part in command:
            return name
    return ""


def held(console: RunningConsole) -> list[tuple[str, float]]:
    """(kind, MB) of the processes that a call goes through."""
    found = []
    for process in console.processes():
        try:
            if kind := kind_of(process):
                found.append((kind, process.memory_info().rss / 2**20))
        except psutil.NoSuchProcess:
            continue
    return found


def deploy(console: RunningConsole) -> dict[str, str]:
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        make_model(CASES[0], Path(folder))
        command = [sys.executable, "-m", "tests.chaos.stage", folder]
        told = subprocess.run(command, cwd=ROOT, env=console.environment, check=True, text=True, stdout=subprocess.PIPE)
    found: dict[str, str] = json.loads(told.stdout)
    return found


async def run(console: RunningConsole, options: argparse.Namespace) -> int:
    stage = deploy(console)
    soak = Soak(f"{console.url}{stage['path']}/inference", stage["key"])
    timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=timeout) as session:
        for _ in range(600):
            if (await soak._ask(session, soak.bodies[0]))[0] == 200:
                break
            await asyncio.sleep(0.2)
        capacity = await soak.prepare(session)
        rate, seconds = capacity * options.share, options.minutes * 60
        print(f"{capacity:.0f} calls a second with {CALLERS} callers; {rate:.0f} a second for {options.minutes:g} min")
        await asyncio.gather(soak.load(session, rate, seconds), soak.kill(console, options.every, seconds))
    return summary(soak)


def summary(soak: Soak) -> int:
    times = statistics.quantiles(soak.milliseconds, n=1000)
    print(f"\n{dict(soak.counts)}\np50 {times[499]:.1f} ms, p95 {times[949]:.1f} ms, p99 {times[989]:.1f} ms")
    print("\n".join(soak.grown()))
    allowed = {"right", "kills", *(f"status {status}" for status in PROMISED)}
    broken = set(soak.counts) - allowed or any("GREW" in line for line in soak.grown())
    print("BROKEN" if broken else "kept: every answer right, none lost, no error but the promised ones, memory flat")
    return 1 if broken else 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.soak", description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--share", type=float, default=0.8, help="of what the stage can do")
    parser.add_argument("--every", type=float, default=60, help="seconds between two kills of the engine")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="soak-", ignore_cleanup_errors=True) as home,
        running_console(Path(home)) as console,
    ):
        return asyncio.run(run(console, options))


if __name__ == "__main__":
    sys.exit(main())
