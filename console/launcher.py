"""Start the Procfile's processes on one machine, restart what dies, stop everything together.

honcho runs the processes and prints their lines; it ends them all when one ends, whereas a console
should outlive a crash of one of its parts, so the loop here is our own.
"""

import http.client
import json
import multiprocessing
import os
import signal
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import psutil
from honcho.compat import ProcessManager
from honcho.manager import Manager
from honcho.printer import Message
from honcho.process import Popen

FIRST_WAIT, LONGEST_WAIT = 1.0, 30.0  # seconds before a restart; doubled while it keeps dying at once
LIVED_WELL = 20.0  # a process that lived this long starts again with the first wait


class Leaders(ProcessManager):
    """Ask only the process itself to end: it knows in which order its children must go.

    A qcluster whose workers get the signal too never ends. SIGKILL, the last resort, still takes the group.
    """

    def terminate(self, pid: int) -> None:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)


class Teller:
    """The end of a pipe that honcho's process takes for its queue. When the launcher was killed nobody listens."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def put(self, message: Message) -> None:
        with suppress(BrokenPipeError):  # the process goes on until the next launcher ends it
            self._connection.send(message)


class Launcher(Manager):
    """honcho's Manager, but a process that ends is started again until SIGTERM or SIGINT comes."""

    def __init__(self, *, state_file: Path, kill_wait: float, on_tick: Callable[[], None], printer: Any = None) -> None:
        super().__init__(printer)
        self._procmgr = Leaders()
        self._state_file, self._kill_wait, self._on_tick = state_file, kill_wait, on_tick
        self._stop_signal: int | None = None
        self._listeners: dict[str, socket.socket] = {}

    def hand_down(self, name: str, listener: socket.socket) -> None:
        """Have a process inherit a listening socket: while it starts again, callers wait instead of being refused."""

        def start(command: str, **options: Any) -> Popen:
            child = Popen(command, pass_fds=(listener.fileno(),), **options)
            listener.close()  # the watcher's own: it takes no calls
            return child

        self._listeners[name] = listener
        self._processes[name]["obj"]._child_ctor = start

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
                self._close_listeners()
                self.terminate()
            if deadline is not None and time.monotonic() > deadline:
                self.kill()
                deadline = None
            if not self._terminating:
                self._restart_dead()
                self._on_tick()
        self._state_file.unlink(missing_ok=True)
        self.returncode = 0

    def _close_listeners(self, but: str = "") -> None:
        for name, listener in self._listeners.items():
            if name != but:
                listener.close()

    def _stop_requested(self, signum: int, _frame: Any) -> None:
        self._stop_signal = signum

    def _all_known(self) -> bool:
        """Whether each process has told its pid, or has ended: a signal may come before they have."""
        return all(row["pid"] or row.get("returncode") is not None for row in self._processes.values())

    def _start_one(self, name: str) -> None:
        """Fork a watcher, which starts the process and tells us of it through a pipe that no other one shares.

        One queue for all, as honcho has it, would be locked for ever by a watcher that is killed while it writes.
        """
        process = self._processes[name]
        receiver, sender = multiprocessing.Pipe(duplex=False)
        process.pop("returncode", None)
        process |= {"pid": None, "started": time.monotonic(), "receiver": receiver}
        context = multiprocessing.get_context("fork")
        process["process"] = context.Process(name=name, target=self._watch, args=(name, sender))
        process["process"].start()
        sender.close()

    def _watch(self, name: str, sender: Connection) -> None:
        """In the watcher, until the process ends."""
        for receiver in self._receivers():  # ours alone: else nobody would notice that the launcher is gone
            receiver.close()
        self._close_listeners(but=name)
        self._processes[name]["obj"].run(Teller(sender), True)

    def _receivers(self) -> dict[Connection, str]:
        return {row["receiver"]: name for name, row in self._processes.items() if row.get("receiver")}

    def _handle_events(self) -> None:
        """Take what the watchers have sent; wait at most 0.1 s for the first of it."""
        receivers = self._receivers()
        if not receivers:
            time.sleep(0.1)
        for receiver in wait(list(receivers), timeout=0.1):
            assert isinstance(receiver, Connection)
            try:
                self._handle(receiver.recv())
            except EOFError:  # the watcher has ended; it may have been killed halfway through a message
                self._processes[receivers[receiver]]["receiver"] = None
                receiver.close()

    def _handle(self, message: Message) -> None:
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
            if process.get("returncode") is None and process["receiver"] is None:
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
    for send, seconds in ((Leaders().terminate, grace), (Leaders().kill, 5.0)):
        alive = [row for row in rows if _started(row["pid"]) == row["started"]]
        for row in alive:
            send(row["pid"])
        deadline = time.monotonic() + seconds
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
