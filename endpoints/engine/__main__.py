"""`python -m endpoints.engine --model DIR --socket PATH --name N --resource /inference`: serve one model.

Exit codes: 0 after SIGTERM, when the requests in flight have been answered; 1 when the model cannot be
loaded or cannot answer the probe: the last line on stderr then says why, for a person.
"""

import argparse
import logging
import os
import signal
import socket
import sys
import warnings
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import FrameType

import uvicorn

from endpoints.engine import plane, protocols
from endpoints.engine.server import App
from endpoints.http import QuickProtocol

log = logging.getLogger("endpoints.engine")

BACKLOG = 2048


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m endpoints.engine", description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True, type=Path, help="folder of the model")
    parser.add_argument("--socket", required=True, type=Path, help="Unix socket to listen on")
    parser.add_argument("--name", required=True, help="the model's name in the protocols' paths")
    parser.add_argument("--resource", default="/inference", help="path of the guide's protocol")
    parser.add_argument("--threads", type=int, default=0, help="0: all cores")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    parser.add_argument("--precision", choices=["auto", "fp32", "bf16", "fp16"], default="auto")
    parser.add_argument("--runtime", default="", help="with --precision: take these, if this host can, unmeasured")
    parser.add_argument("--batch-size", type=int, help="images in one run at most; as measured unless given")
    parser.add_argument("--batch-window-ms", type=float, help="how long to wait for company; as measured unless given")
    return parser.parse_args()


def listen(path: Path) -> socket.socket:
    """A listening socket that only this user can connect to.

    It gets its name last, so that whoever finds `path` can connect; what a dead engine left there is replaced.
    """
    unnamed = path.with_name(f"{path.name}.new")
    unnamed.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    old = os.umask(0o177)
    try:
        listener.bind(str(unnamed))
    finally:
        os.umask(old)
    listener.listen(BACKLOG)
    unnamed.replace(path)
    return listener


def exit_quietly(number: int, frame: FrameType | None) -> None:
    """uvicorn raises the signal again once it has shut down: leave with 0 then."""
    sys.exit(0)


def product_version() -> str:
    try:
        return version("easymaker-console")
    except PackageNotFoundError:  # run from a checkout that is not installed
        return "0"


def http_config(app: App) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=QuickProtocol,
        loop="uvloop",
        ws="none",
        lifespan="on",
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=60,
    )


def main() -> int:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    warnings.filterwarnings("ignore", module=r"PIL\.")  # of callers' broken files: each would be kept, and logged
    signal.signal(signal.SIGTERM, exit_quietly)
    options = arguments()
    settings = plane.Settings(
        device=options.device,
        threads=options.threads or len(os.sched_getaffinity(0)),
        precision=options.precision,
        runtime=options.runtime,
        batch_size=options.batch_size,
        batch_window_ms=options.batch_window_ms,
    )
    failures: list[Exception] = []

    def failed(error: Exception) -> None:
        log.error("The model cannot be served", exc_info=error)
        failures.append(error)
        server.should_exit = True

    app = App(
        protocols.routes(options.name, options.resource, product_version()),
        partial(plane.load, options.model, settings),
        failed,
    )
    server = uvicorn.Server(http_config(app))
    server.run(sockets=[listen(options.socket)])
    if failures:
        print(f"{type(failures[0]).__name__}: {failures[0]}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
