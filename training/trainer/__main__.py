"""`python -m training.trainer <run folder>`: run folder in, exit code out. See docs/contracts.md."""

import io
import multiprocessing
import os
import signal
import sys
import traceback
from contextlib import suppress
from pathlib import Path

from training import disk
from training.trainer.checkpoints import write_json
from training.trainer.events import Events, say
from training.trainer.failures import explain
from training.trainer.fence import Displaced, Fence
from training.trainer.stop import Stopped, StopSignal, deafen_forks

COMPLETE, FAILED, STOPPED, DISK, DISPLACED = 0, 1, 3, 4, 5
# How often an OpenMP thread that waits for the others looks before it sleeps (libgomp; read when torch is loaded).
# By default it spins for milliseconds, and a trainer that shares two cores with other work became 15 times slower.
# With this it keeps its speed when alone and half of it when not.
SPIN_COUNT = "1000"
OUTCOMES = {COMPLETE: "complete", FAILED: "failed", STOPPED: "stopped"}


def main(run: Path) -> int:
    """Train; whatever happens ends as an exit code, and a failure as an event with its reason.

    The code is all that can be said (`DISK`) when the disk does not even take that event.
    """
    try:
        fence = Fence(run)
        fence.check()
        (run / "outcome.json").unlink(missing_ok=True)  # an earlier attempt's
        code = _train(run, fence)
        fence.check()
        write_json(run / "outcome.json", {"outcome": OUTCOMES[code], "exit_code": code})
    except Displaced:
        say("another trainer has been given this run folder: this one ends")
        return DISPLACED
    except OSError as error:
        if disk.reason(error) is None:
            raise
        say(f"FAILED: {disk.reason(error)}")
        return DISK
    return code


def _train(run: Path, fence: Fence) -> int:
    stop, events = StopSignal(), Events(run, fence)
    try:
        stop.install()
        os.environ.setdefault("GOMP_SPINCOUNT", SPIN_COUNT)
        from training.trainer import loop  # torch takes seconds: a stop that comes meanwhile is heard
        from training.trainer.config import Config

        loop.run(Config.read(run), events, stop)
    except Stopped:
        say("stopped")
        return STOPPED
    except Exception as error:
        with suppress(OSError):  # the log is full: the event below says the reason, if the disk takes that
            traceback.print_exc()
        events.failure(*explain(error))
        return FAILED
    finally:
        stop.interruptible = False  # what follows only writes down how it ended
    return COMPLETE


def _end_data_loaders() -> None:
    """Of an epoch that did not come to its end. They hear nothing else, and Python would wait for them."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # torch's handler would take it for a failure
    for child in multiprocessing.active_children():
        child.kill()


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m training.trainer <run folder>")
    for stream in (sys.stdout, sys.stderr):  # class names are in any script, whatever this machine's locale
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    deafen_forks()
    try:
        code = main(Path(sys.argv[1]).resolve())
    finally:
        _end_data_loaders()
    with suppress(OSError):  # a full disk: the code says so
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)  # the outcome is on disk: no library's exit handler may hang or change the code
