"""Start the Procfile's processes on one machine, restart what dies, stop everything together.

honcho runs the processes and prints their lines; it ends them all when one ends, whereas a console
should outlive a crash of one of its parts, so the loop here is our own.
"""

import http.client
import json
import multiprocessing
import os
import queue
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
from honcho.compat import ProcessManager
from honcho.manager import Manager

FIRST_WAIT, LONGEST_WAIT = 1.0, 30.0  # seconds before a restart; doubled while it keeps dying at once
LIVED_WELL = 20.0  # a process that lived this long starts again with the first wait


class Leaders(ProcessManager):
    """Ask only the process itself to end: it knows in which order its children must go.

    A qcluster whose workers get the signal too never ends. SIGKILL, the last resort, still takes the group.
    """

    def terminate(self, pid: int) -> None:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)


class Launcher(Manager):
    """honcho's Manager, but a process that ends is started again until SIGTERM or SIGINT comes."""

    def __init__(self, *, state_file: Path, kill_wait: float, on_tick: Callable[[], None], printer: Any = None) -> None:
        super().__init__(printer)
        self._procmgr = Leaders()
        self._state_file, self._kill_wait, self._on_tick = state_file, kill_wait, on_tick
        self._stop_signal: int | None = None

    def loop(self) -> None:
        """Block until a signal asked for the end and every process is gone."""
        for signum in (signal.SIGTERM, signal.SIGINT):
            signal.signal(signum, self._stop_requested)
        for name in self._processes:
            self._start_one(name)
        deadline: float | None = None
        while not (self._terminating and self._all_stopped()):
            self._handle_events()
            self._end_unwatched()
            if self._stop_signal is not None and not self._terminating and self._all_known():
                deadline = time.monotonic() + self._kill_wait
                self.terminate()
            if deadline is not None and time.monotonic() > deadline:
                self.kill()
                deadline = None
            if not self._terminating:
                self._restart_dead()
                self._on_tick()
        self._state_file.unlink(missing_ok=True)
        self.returncode = 0

    def _stop_requested(self, signum: int, _frame: Any) -> None:
        self._stop_signal = signum

    def _all_known(self) -> bool:
        """Whether each process has told its pid, or has ended: a signal may come before they have."""
        return all(row["pid"] or row.get("returncode") is not None for row in self._processes.values())

    def _start_one(self, name: str) -> None:
        process = self._processes[name]
        process.pop("returncode", None)
        process["pid"] = None
        process["started"] = time.monotonic()
        process["process"] = self._new_wrapper(name)
        process["process"].start()

    def _new_wrapper(self, name: str) -> Any:
        # fork, as honcho expects: its events queue is handed over by inheritance.
        target = self._processes[name]["obj"].run
        return multiprocessing.get_context("fork").Process(name=name, target=target, args=(self.events, True))

    def _handle_events(self) -> None:
        """Take what the processes have sent; wait at most 0.1 s for the first of it."""
        timeout: float | None = 0.1
        while True:
            try:
                message = self.events.get(timeout=timeout) if timeout else self.events.get_nowait()
            except queue.Empty:
                return
            timeout = None
            process = self._processes[message.name]
            if message.type == "line":
                self._printer.write(message)
            elif message.type == "start":
                process["pid"] = message.data["pid"]
                self._save_state()
            elif message.type == "stop":
                self._ended(message.name, message.data["returncode"])

    def _ended(self, name: str, returncode: int | None) -> None:
        """Note when to start it again: the wait doubles while it keeps dying young."""
        process = self._processes[name]
        process["returncode"] = -1 if returncode is None else returncode
        lived = time.monotonic() - process["started"]
        wait = FIRST_WAIT if lived > LIVED_WELL else min(process.get("wait", FIRST_WAIT / 2) * 2, LONGEST_WAIT)
        process["wait"], process["restart_at"] = wait, time.monotonic() + wait
        self._system_print(f"{name} ended with status {'unknown' if returncode is None else returncode}\n")

    def _restart_dead(self) -> None:
        for name, process in self._processes.items():
            if process.get("returncode") is not None and time.monotonic() >= process["restart_at"]:
                self._system_print(f"starting {name} again\n")
                self._start_one(name)

    def _end_unwatched(self) -> None:
        """When what watches a process and prints its lines was killed, nobody would notice the process's end."""
        for name, process in self._processes.items():
            if process.get("returncode") is not None or process["process"].is_alive():
                continue
            self._handle_events()  # its last words
            if process.get("returncode") is None:
                if process["pid"]:
                    self._procmgr.kill(process["pid"])
                self._ended(name, None)

    def _save_state(self) -> None:
        """Note which processes are ours, so that the next start finds what a killed launcher left behind."""
        rows = []
        for name, process in self._processes.items():
            if process.get("pid") and psutil.pid_exists(process["pid"]):
                rows.append({"name": name, "pid": process["pid"], "started": _started(process["pid"])})
        temporary = self._state_file.with_suffix(".tmp")
        temporary.write_text(json.dumps(rows))
        temporary.replace(self._state_file)


def _started(pid: int) -> float | None:
    try:
        return psutil.Process(pid).create_time()
    except psutil.NoSuchProcess:
        return None


def stop_leftovers(state_file: Path, grace: float) -> list[str]:
    """End the process groups that a launcher which was killed left running. -> their names."""
    if not state_file.exists():
        return []
    rows = [row for row in json.loads(state_file.read_text()) if _started(row["pid"]) == row["started"] is not None]
    for send, wait in ((Leaders().terminate, grace), (Leaders().kill, 5.0)):
        alive = [row for row in rows if _started(row["pid"]) == row["started"]]
        for row in alive:
            send(row["pid"])
        deadline = time.monotonic() + wait
        while time.monotonic() < deadline and any(_started(row["pid"]) == row["started"] for row in alive):
            time.sleep(0.1)
    state_file.unlink(missing_ok=True)
    return [row["name"] for row in rows]


def answers(host: str, port: int, path: str) -> bool:
    """Whether `GET path` answers 200 within a second."""
    connection = http.client.HTTPConnection(host, port, timeout=1)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
