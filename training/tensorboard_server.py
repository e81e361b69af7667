"""The TensorBoard process of one training: `python -m training.tensorboard_server`. Knows no Django.

It is told what to show by JSON on its standard input: a command line can be read by everyone.
It listens on this machine only, below a secret path: other users of the machine could reach the port, but only
the console, which checks the login, knows the path. It ends by itself when nobody has looked for a while, and
when the process that started it (the web process) is gone.
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from training.processes import ProcessId

RELOAD_SECONDS = 5
LOOK_SECONDS = 1


def main(given: dict[str, Any]) -> None:
    """`given`: port (the file to write it to), used (the file whose mtime is the last use), logdir, secret,
    idle_seconds, parent (pid and start time)."""
    from tensorboard import default, program  # here, because the web process imports this module for write()

    server = program.TensorBoard(default.get_plugins())
    server.configure(
        argv=("tensorboard",),
        logdir=given["logdir"],
        host="127.0.0.1",
        port=0,
        path_prefix="/" + given["secret"],
        reload_interval=RELOAD_SECONDS,
        load_fast="false",  # the fast loader is one more process to look after
        window_title="TensorBoard",
    )
    port = server.launch().split(":")[2].split("/")[0]  # http://127.0.0.1:<port>/<secret>/
    write(Path(given["port"]), port)
    parent = ProcessId(*given["parent"])
    used = Path(given["used"])
    while parent.alive() and used.exists() and time.time() - used.stat().st_mtime < given["idle_seconds"]:
        time.sleep(LOOK_SECONDS)


def write(path: Path, text: str) -> None:
    """Atomically, readable by the console's user only."""
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    temporary.touch(mode=0o600)
    temporary.write_text(text)
    temporary.replace(path)


if __name__ == "__main__":
    main(json.load(sys.stdin))
