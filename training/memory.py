"""Whether it was for want of memory that a trainer was killed: what the system counted, and what the runner saw.

`memory.json` in the run folder is from before the trainer began: it holds for the runner that takes over, too.
"""

import json
from typing import Any

import psutil

from training.models import Training
from training.processes import ProcessId
from training.runfolder import write_json
from training.trainer import limits

NEAR = 0.9  # of what there was to have: a trainer that held so much is likely to have been killed for it


def note(training: Training) -> None:
    """Before a trainer begins: how many processes the system has killed so far."""
    whose, kills = limits.oom_kills()
    write_json(training.folder / "memory.json", {"whose": whose, "kills": kills})


def system_killed(training: Training) -> bool:
    """Whether the system has killed a process of this console (without cgroups: of this machine) since note()."""
    path = training.folder / "memory.json"
    if not path.is_file():
        return False
    before: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    whose, kills = limits.oom_kills()
    return bool(whose == before["whose"] and kills > before["kills"])


def share(trainer: ProcessId | None, most: int) -> float:
    """What part the trainer holds of what it could have, 0 to 1. `most`: TRAINER_MEMORY_BYTES, 0 for no such limit."""
    try:
        held = psutil.Process(trainer.pid).memory_info().rss if trainer else 0
    except psutil.NoSuchProcess:
        return 0.0
    there = held + limits.available_bytes()
    return float(held / max(1, min(there, most) if most else there))
