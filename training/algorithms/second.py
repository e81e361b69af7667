"""A second process that decodes small images beside the first: threads that share one interpreter gain nothing there.

    python -m training.algorithms.second <most pixels of an image>

reads a JSON list of paths a line, and answers with a record for each. What it cannot decode it leaves to the first
process, which meets the same error and tells it; so it may also be killed at any moment. It ends with its input.
Torch-free.
"""

import json
import os
import select
import struct
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO, cast

from training.algorithms.prints import COLUMNS, ROWS, Print

ROOT = Path(__file__).resolve().parents[2]
RECORD = struct.Struct(f"<?II?B16s{COLUMNS * ROWS}s")  # decoded, width, height, blank, orientation, digest, thumb
PIXELS = 1_000_000  # of an image: larger ones are the first process's own, which knows how much room there is
READY = b"+"
END_SECONDS = 5
Looked = tuple[tuple[int, int], Print | None]


class Second:
    """The process as the first one sees it. Started by `start`; without that there never is one."""

    def __init__(self, max_pixels: int) -> None:
        self.max_pixels = min(max_pixels, PIXELS)
        self._process: subprocess.Popen[bytes] | None = None
        self._ready = False

    def start(self) -> None:
        if self._process is None and len(os.sched_getaffinity(0)) > 1:
            command = [sys.executable, "-m", "training.algorithms.second", str(self.max_pixels)]
            self._process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def __enter__(self) -> "Second":
        return self

    def __exit__(self, *_exception: object) -> None:
        self._end()

    def ready(self) -> bool:
        """Whether it takes work. Never waits."""
        if not self._ready and self._process and select.select([self._output], [], [], 0)[0]:
            self._ready = self._output.read(1) == READY
            if not self._ready:
                self._end()
        return self._ready

    def hand(self, paths: Sequence[Path]) -> None:
        """Let it decode these; `collect` is to be called next."""
        assert self._process is not None
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps([str(path) for path in paths]).encode() + b"\n")
            self._process.stdin.flush()
        except OSError:  # it is gone
            self._end()

    def collect(self, paths: Sequence[Path]) -> dict[Path, Looked]:
        """What it found, by path, without what it could not decode."""
        content = self._output.read(RECORD.size * len(paths)) if self._process else b""
        if len(content) < RECORD.size * len(paths):
            self._end()
            return {}
        found = zip(paths, RECORD.iter_unpack(content), strict=True)
        return {path: _unpacked(record) for path, record in found if record[0]}

    @property
    def _output(self) -> IO[bytes]:
        assert self._process is not None
        return cast(IO[bytes], self._process.stdout)

    def _end(self) -> None:
        process, self._process, self._ready = self._process, None, False
        if process is None:
            return
        for pipe in (process.stdin, process.stdout):
            try:
                cast(IO[bytes], pipe).close()
            except OSError:  # closing writes what is left, and nobody reads it
                continue
        try:
            process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _unpacked(record: tuple[bool, int, int, bool, int, bytes, bytes]) -> Looked:
    _decoded, width, height, blank, orientation, digest, thumb = record
    return (width, height), Print(digest, thumb, blank, orientation)


def main() -> None:
    from training.algorithms.scan import BadImage, Scan  # which imports this module

    scan = Scan(int(sys.argv[1]))
    nothing = bytes(RECORD.size)
    sys.stdout.buffer.write(READY)
    sys.stdout.buffer.flush()
    for line in sys.stdin.buffer:
        for path in json.loads(line):
            try:
                size, found = scan.look(Path(path), keep=True)
            except BadImage:
                found = None
            record = nothing
            if found:
                record = RECORD.pack(True, *size, found.blank, found.orientation, found.digest, found.thumb)
            sys.stdout.buffer.write(record)
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
