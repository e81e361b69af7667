"""What a running rollout does with the calls of this web process: some go to the candidate, or a copy of them does.

What is seen of it is summed in memory; `services.rollout_count` writes it, and decides, once a second.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

from django.conf import settings

from endpoints import agreement, lookup, statistics
from endpoints.connections import Answer, Connection
from endpoints.exchange import Exchange
from endpoints.forwarding import Forwarder
from endpoints.lookup import Refused, RouteTable, Target
from endpoints.rollout_figures import Seen, add

log = logging.getLogger(__name__)

COPIES_WAITING = 64
COPIES_BYTES = 64 * 2**20
COPIES_AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class Trial:
    """A call that a rollout looks at. `chosen`: it is one of the share."""

    rollout: str
    mode: str
    stage: Mapping[str, Any]  # the candidate, as the route table has it
    target: Target
    chosen: bool


class Copy:
    """A call once more, for the candidate: its caller has been answered."""

    def __init__(self, call: Exchange, answer: bytes, trial: Trial, find: Callable[[], Target]) -> None:
        self.method, self.headers, self.body, self.bytes_in = call.method, call.headers, call.body, call.bytes_in
        self.answer, self.trial, self.find = answer, trial, find
        self.gone = False
        self.connection: Connection | None = None
        self.deadline = 0.0

    @property
    def size(self) -> int:
        return self.bytes_in + len(self.answer)

    @property
    def seconds_left(self) -> float:
        return self.deadline - time.monotonic()


class Rollouts:
    """Chooses the calls, asks the candidate for the copies, and adds up what was seen."""

    def __init__(self, routes: RouteTable, forwarder: Forwarder) -> None:
        self._routes, self._forwarder = routes, forwarder
        self._due: dict[str, tuple[str, int]] = {}  # by endpoint: its rollout, and the part of a call that is due to it
        self._seen: dict[str, Seen] = {}
        self._waiting: deque[Copy] = deque()
        self._bytes = 0
        self._copying: set[asyncio.Task[None]] = set()
        self._comparing = ThreadPoolExecutor(1, "shadow")

    def trial(self, call: Exchange, endpoint: Mapping[str, Any], stage: Mapping[str, Any]) -> Trial | None:
        """What the endpoint's rollout means for a call of its own URL; None when there is none, or nothing to try."""
        rollout = endpoint.get("rollout")
        if rollout is None or call.method != "POST":
            return None
        candidate = endpoint["stages"].get(rollout["stage"])
        target = candidate and lookup.counterpart(stage, call.rest, candidate)
        if not target:
            return None
        # Each call brings its share nearer to a whole one: of ten calls at 30 %, the 4th, the 7th and the 10th.
        known, due = self._due.get(call.endpoint_id, ("", 0))
        due = rollout["share"] + (due if known == rollout["id"] else 0)
        self._due[call.endpoint_id] = rollout["id"], due % 100
        return Trial(rollout["id"], rollout["mode"], candidate, target, due >= 100)

    def find(self, endpoint_id: str, rest: str) -> Target:
        """The candidate by the newest table. Raises Refused when there is none any more."""
        endpoint = self._routes.endpoint(endpoint_id)
        rollout = endpoint.get("rollout") or {"stage": ""}
        default, candidate = (endpoint["stages"].get(name) for name in (endpoint["default"], rollout["stage"]))
        target = default and candidate and lookup.counterpart(default, rest, candidate)
        if not target:
            raise Refused(404, "not_found", "The rollout has ended.")
        return target

    def count(self, trial: Trial, side: str, status: int, seconds: float) -> None:
        """Note an answer of one side. A request that was wrong says nothing about the stage."""
        if 400 <= status < 500 and status != 429:
            return
        failed = status >= 400
        latencies = {} if failed else {statistics.bound(seconds * 1000): 1}
        self._add(trial.rollout, {side: {"calls": 1, "errors": int(failed), "latencies": latencies}})

    def copy(self, call: Exchange, answer: Answer, trial: Trial) -> None:
        """Have the candidate answer the call too. Never waits: a copy too many is dropped, and counted."""
        copy = Copy(call, answer.body, trial, partial(self.find, call.endpoint_id, call.rest))
        if not answer.whole or len(self._waiting) >= COPIES_WAITING or self._bytes + copy.size > COPIES_BYTES:
            self._add(trial.rollout, {"dropped": 1})
            return
        self._waiting.append(copy)
        self._bytes += copy.size
        if len(self._copying) < COPIES_AT_ONCE:
            task = asyncio.create_task(self._work())
            self._copying.add(task)
            task.add_done_callback(self._copying.discard)

    async def _work(self) -> None:
        while self._waiting:
            copy = self._waiting.popleft()
            try:
                await self._ask(copy)
            except Exception:
                log.exception("A copied call of rollout %s failed", copy.trial.rollout)
            finally:
                self._bytes -= copy.size

    async def _ask(self, copy: Copy) -> None:
        trial, began = copy.trial, time.monotonic()
        copy.deadline = began + settings.STAGE_TIMEOUT_SECONDS - 1
        try:
            async with asyncio.timeout(copy.seconds_left):
                answer, engine = await self._forwarder.ask(copy, trial.target, copy.find, patience=0)
                self._forwarder.release(engine, copy)
        except (Refused, TimeoutError):
            self.count(trial, "candidate", 503, 0)
            return
        # What the default stage could answer is no wrong request: here, every refusal is the candidate's failure.
        failed = answer.status >= 400
        self.count(trial, "candidate", 500 if failed else 200, time.monotonic() - began)
        if not failed and answer.whole:
            compare = partial(agreement.agree, copy.answer, answer.body)
            same = await asyncio.get_running_loop().run_in_executor(self._comparing, compare)
            self._add(trial.rollout, {"compared": 1, "agreed": int(same)})

    def _add(self, rollout: str, seen: Seen) -> None:
        add(self._seen.setdefault(rollout, {}), seen)

    def take(self) -> dict[str, Seen]:
        """What was seen since the last time, by rollout."""
        seen, self._seen = self._seen, {}
        return seen

    def put_back(self, seen: dict[str, Seen]) -> None:
        """What could not be written is kept for the next time."""
        for rollout, sums in seen.items():
            self._add(rollout, sums)

    def close(self) -> None:
        for task in self._copying:
            task.cancel()
        self._comparing.shutdown(wait=False, cancel_futures=True)
