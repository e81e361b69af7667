"""Signs of life: every long-running process touches run/<name>@<host>.heartbeat about once a second.

Files, because they work between processes and hosts whatever database and broker are: all hosts share CONSOLE_HOME.
"""

import re
import time
from pathlib import Path
from typing import NamedTuple

from django.conf import settings

STALE_SECONDS = 15  # a busy machine may be late


class Host(NamedTuple):
    """A host on which such a process lives, how much that can do at once, and how many GPUs it may use."""

    name: str
    slots: int
    gpus: int


def host_name() -> str:
    """This host as file names and leases carry it. Another host of the same console must have another name."""
    return re.sub(r"[^\w.-]", "-", settings.HOST_NAME)[:40] or "host"


def path(name: str) -> Path:
    return Path(settings.RUN_FOLDER) / f"{name}@{host_name()}.heartbeat"


def beat(name: str, slots: int = 0, gpus: int = 0) -> None:
    """`slots`: how much the process can do at once, for those who plan with it; `gpus`: that it may use."""
    file, text = path(name), f"{slots} {gpus}"
    if not file.exists() or file.read_text() != text:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    file.touch()


def living(name: str) -> list[Path]:
    """The heartbeat files, one a host, that were touched a moment ago."""
    return [file for file in Path(settings.RUN_FOLDER).glob(f"{name}@*.heartbeat") if _fresh(file)]


def alive(name: str) -> bool:
    """Whether such a process lives on any host."""
    return bool(living(name))


def hosts(name: str) -> list[Host]:
    """The hosts on which such a process lives."""
    found = []
    for file in living(name):
        slots, gpus, *_ = [*map(int, file.read_text().split()), 0, 0]  # it may be just being written
        found.append(Host(file.stem.removeprefix(f"{name}@"), slots, gpus))
    return found


def slots(name: str) -> int:
    """How much the living ones of all hosts can do at once."""
    return sum(host.slots for host in hosts(name))


def gpus(name: str) -> int:
    """How many GPUs the living ones of all hosts may use."""
    return sum(host.gpus for host in hosts(name))


def forget_own() -> None:
    """Remove what this host's earlier processes left: it is no sign of life."""
    for file in Path(settings.RUN_FOLDER).glob(f"*@{host_name()}.heartbeat"):
        file.unlink(missing_ok=True)


def _fresh(file: Path) -> bool:
    try:
        return time.time() - file.stat().st_mtime < STALE_SECONDS
    except FileNotFoundError:
        return False
