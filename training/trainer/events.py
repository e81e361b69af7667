"""What the job tells the runner: one JSON line an event, written before the next step. See docs/contracts.md."""

import json
import math
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from training.algorithms.base import Message
from training.trainer.fence import Fence

LASTING = {"checkpoint", "result", "failure"}  # a power cut must not take these; the next attempt repeats the others


class Events:
    """Appends to events.jsonl. A line that a killed attempt left unfinished is ended first: the next one reads."""

    def __init__(self, run: Path, fence: Fence | None = None) -> None:
        self.fence = fence or Fence(run)
        self._file = (run / "events.jsonl").open("a+b")
        if self._file.tell() and not self._ends_with_newline():
            self._file.write(b"\n")
        self._last_progress = 0.0

    def _ends_with_newline(self) -> bool:
        self._file.seek(-1, os.SEEK_END)
        return self._file.read(1) == b"\n"

    def emit(self, type: str, **values: Any) -> None:
        """Raises Displaced when the run folder is another trainer's now."""
        self.fence.check()
        line = json.dumps({"t": time.time(), "type": type, **values}, ensure_ascii=False, allow_nan=False)
        self._file.write(line.encode() + b"\n")
        self._file.flush()
        if type in LASTING:
            os.fsync(self._file.fileno())

    def phase(self, phase: str) -> None:
        say(f"--- {phase}")
        self.emit("phase", phase=phase)

    def setting(self, **values: Any) -> None:
        say(f"setting {values}")
        self.emit("setting", values=values)

    def progress(self, step: int, total_steps: int, epoch: float, eta_seconds: float | None) -> None:
        """At most one a second, except the last step, which always goes out."""
        now = time.monotonic()
        if now - self._last_progress < 1 and step < total_steps:
            return
        self._last_progress = now
        self.emit("progress", step=step, total_steps=total_steps, epoch=epoch, eta_seconds=eta_seconds)

    def metric(self, step: int, epoch: float, values: Mapping[str, float]) -> None:
        finite = {name: value for name, value in values.items() if math.isfinite(value)}
        if finite:
            self.emit("metric", step=step, epoch=epoch, values=finite)

    def warning(self, code: str, message: Message) -> None:
        say(f"WARNING {message}")
        self.emit("warning", code=code, **message.as_json())

    def notice(self, code: str, message: Message, advice: Message | None = None, level: str = "warning") -> None:
        """A warning with what to do about it. It may be taken back; a newer one of the same code replaces it."""
        say(f"NOTICE {message}")
        what_to_do = {"advice": advice.as_json()} if advice else {}
        self.emit("notice", code=code, active=True, level=level, **message.as_json(), **what_to_do)

    def withdraw(self, code: str) -> None:
        """What notice() said is no longer true."""
        self.emit("notice", code=code, active=False)

    def failure(self, code: str, message: Message) -> None:
        say(f"FAILED: {message}")
        self.emit("failure", code=code, **message.as_json())


def say(text: object) -> None:
    """A line for the log. A disk that does not take it ends the training at the next event, which counts, not here."""
    with suppress(OSError):
        print(text, flush=True)
