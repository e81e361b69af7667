"""A second process that decodes small images beside the first: threads that share one interpreter gain nothing there.

    python -m training.algorithms.second <most pixels of an image>

reads a JSON list of paths a line, and answers with a record for each; several lists may be under way. What it cannot
decode it leaves to the first process, which meets the same error and tells it; so it may also be killed at any
moment. It ends with its input. Torch-free.
"""

import json
import os
import select
import struct
import subprocess
import sys
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import IO, cast

from training.algorithms.prints import COLUMNS, ROWS, Print

ROOT = Path(__file__).resolve().parents[2]
RECORD = struct.Struct(f"<?II?B16s{COLUMNS * ROWS}s")  # decoded, width, height, blank, orientation, digest, thumb
PIXELS = 1_000_000  # of an image: larger ones are the first process's own, which knows how much room there is
READY = b"+"
AHEAD = 4  # lists under way: their lines, and the answers, fit into the pipes
END_SECONDS = 5
Looked = tuple[tuple[int, int], Print | None]


class Second:
    """The process as the first one sees it. Started by `start`; without that there never is one."""

    def __init__(self, max_pixels: int) -> None:
        self.max_pixels = min(max_pixels, PIXELS)
        self._process: subprocess.Popen[bytes] | None = None
        self._ready = False
        self._handed: deque[Sequence[str]] = deque()

    def start(self) -> None:
        if self._process is None and len(os.sched_getaffinity(0)) > 1:
            command = [sys.executable, "-m", "training.algorithms.second", str(self.max_pixels)]
            self._process = subprocess.Popen(
                command,
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                bufsize=0,  # else what select looks for could lie in a buffer already
            )

    def __enter__(self) -> "Second":
        return self

    def __exit__(self, *_exception: object) -> None:
        self.end()

    def ready(self) -> bool:
        """Whether it takes work. Never waits."""
        if not self._ready and self._process and select.select([self._output], [], [], 0)[0]:
            self._ready = self._output.read(1) == READY
            if not self._ready:
                self.end()
        return self._ready

    def hand(self, paths: Sequence[str]) -> None:
        """Let it decode these. Never waits, as long as at most AHEAD lists are under way."""
        assert self._process is not None
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(paths).encode() + b"\n")
            self._process.stdin.flush()
        except OSError:  # it is gone
            self.end()
        else:
            self._handed.append(paths)

    def is_free(self) -> bool:
        """Whether it takes one more list. Never waits."""
        return len(self._handed) < AHEAD and self.ready()

    def collect(self, *, wait: bool = True) -> dict[str, Looked]:
        """What it found, by path, without what it could not decode; of the lists it is done with, or of all."""
        found: dict[str, Looked] = {}
        while self._handed and (wait or select.select([self._output], [], [], 0)[0]):
            paths = self._handed.popleft()
            content = self._read(RECORD.size * len(paths))
            if len(content) < RECORD.size * len(paths):  # it is gone
                self.end()
                break
            records = zip(paths, RECORD.iter_unpack(content), strict=True)
            found |= {path: _unpacked(record) for path, record in records if record[0]}
        return found

    def _read(self, size: int) -> bytes:
        """So many bytes; fewer when the process is gone."""
        content = bytearray()
        while len(content) < size and (piece := self._output.read(size - len(content))):
            content += piece
        return bytes(content)

    @property
    def _output(self) -> IO[bytes]:
        assert self._process is not None
        return cast(IO[bytes], self._process.stdout)

    def end(self) -> None:
        process, self._process, self._ready = self._process, None, False
        self._handed.clear()
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
        answer = bytearray()  # written at once: what can be read is whole, and need not be waited for
        for path in json.loads(line):
            try:
                size, found = scan.look(path, keep=True)
            except BadImage:
                found = None
            record = nothing
            if found:
                record = RECORD.pack(True, *size, found.blank, found.orientation, found.digest, found.thumb)
            answer += record
        sys.stdout.buffer.write(answer)
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
