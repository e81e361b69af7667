"""What the system says about memory: how much a process may still take, and whom the kernel killed for want of it."""

import resource
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil

CGROUPS, MEMBERSHIP = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
# (limit, use, the statistic of page cache that the kernel gives up at once, kills), for cgroups 2 and 1
VERSION_2 = ("memory.max", "memory.current", "inactive_file", "memory.events")
VERSION_1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file", "memory.oom_control")
Names = tuple[str, str, str, str]


def _membership() -> tuple[Path, Path, Names] | None:
    """-> (the hierarchy's mount point, this process's folder in it, the names of its files); None without cgroups.

    A container may see its host's path in /proc although its own folder is mounted as the root: then that counts.
    """
    lines = MEMBERSHIP.read_text().splitlines() if MEMBERSHIP.is_file() else []
    for _number, controllers, path in (line.split(":", 2) for line in lines):
        if controllers == "memory":
            base, names = CGROUPS / "memory", VERSION_1
        elif not controllers and (CGROUPS / "cgroup.controllers").is_file():
            base, names = CGROUPS, VERSION_2
        else:
            continue
        own = base / path.lstrip("/")
        return base, own if own.is_dir() else base, names
    return None


def _numbers(path: Path) -> dict[str, int]:
    """A file of lines such as `oom_kill 3`; {} when there is none."""
    if not path.is_file():
        return {}
    pairs = [line.split() for line in path.read_text().splitlines()]
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdecimal()}


def _left_in_cgroups() -> Iterator[int]:
    """The bytes that are left in this process's cgroup and in each that it lies in, as far as they have a limit."""
    found = _membership()
    if found is None:
        return
    base, own, (limit_name, use_name, cache, _kills) = found
    for folder in (own, *own.parents):
        if (folder / limit_name).is_file() and (folder / use_name).is_file():
            limit = (folder / limit_name).read_text().strip()
            if limit.isdecimal():
                used = int((folder / use_name).read_text()) - _numbers(folder / "memory.stat").get(cache, 0)
                yield int(limit) - used
        if folder == base:
            return


def available_bytes() -> int:
    """What this process may still take before the kernel has to kill: of the machine, and of its cgroups."""
    return max(0, min(int(psutil.virtual_memory().available), *_left_in_cgroups(), 2**62))


def left_bytes(most: int) -> int:
    """What this process may still take when it may hold `most` in all; 0: as much as there is."""
    available = available_bytes()
    return max(0, min(available, most - resident_bytes())) if most else available


def oom_kills() -> tuple[str, int]:
    """-> (whose count it is, processes that the kernel has killed there for want of memory since it began to count).

    The cgroup of this process counts its own members, whoever's memory ran out; without one the machine's count.
    """
    found = _membership()
    kills = _numbers(found[1] / found[2][3]) if found else {}
    boot = Path("/proc/sys/kernel/random/boot_id")
    since = boot.read_text().strip() if boot.is_file() else ""
    if found and "oom_kill" in kills:
        return f"{since} {found[1]}", kills["oom_kill"]
    return since, _numbers(Path("/proc/vmstat")).get("oom_kill", 0)


def resident_bytes() -> int:
    return int(psutil.Process().memory_info().rss)


def peak_bytes() -> int:
    """The most memory that this process has held since forget_peak()."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def forget_peak() -> None:
    """See proc(5), /proc/pid/clear_refs. Where it cannot be written, peak_bytes() is that of the whole life."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
