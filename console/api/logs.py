"""A log file as an answer: all of it, from a byte on, or its last lines."""

import os
from pathlib import Path
from typing import BinaryIO

from django.http import HttpResponse, HttpResponseBase
from django.utils.translation import gettext as _
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request

from console.downloads import Download

TEXT = "text/plain; charset=utf-8"
BLOCK = 64 * 1024
MOST_DIGITS = 18  # of an offset or a number of lines: Python itself refuses to read thousands of them


def log_answer(request: Request, path: Path) -> HttpResponseBase:
    """Honours `?offset=` (bytes) and `?tail=` (lines). X-Next-Offset is the offset of the next call.

    A log that does not exist yet is empty: the training waits in the queue. Raises ValidationError.
    """
    offset, tail = _number(request, "offset"), _number(request, "tail")
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return HttpResponse(b"", content_type=TEXT, headers={"X-Next-Offset": "0"})
    size = os.fstat(file.fileno()).st_size
    start = min(offset or 0, size)
    if tail is not None:
        start = max(start, tail_start(file, size, tail))
    file.seek(start)
    answer = Download(file, content_type=TEXT)
    answer.headers["X-Next-Offset"] = str(start + int(answer.headers["Content-Length"]))
    return answer


def tail_start(file: BinaryIO, size: int, lines: int) -> int:
    """The offset at which the last `lines` lines begin. Reads from the end, a block at a time."""
    if lines == 0:
        return size
    position, newlines = size, 0
    while position > 0:
        begin = max(0, position - BLOCK)
        file.seek(begin)
        block = file.read(position - begin)
        end = len(block)
        while (found := block.rfind(b"\n", 0, end)) >= 0:
            end = found
            newlines += begin + found != size - 1  # the newline that ends the last line begins no other
            if newlines == lines:
                return begin + found + 1
        position = begin
    return 0


def _number(request: Request, name: str) -> int | None:
    given = request.query_params.get(name)
    if given is None:
        return None
    if not (given.isascii() and given.isdecimal() and len(given) <= MOST_DIGITS):
        raise ValidationError({name: [_("This must be a whole number, 0 or more.")]})
    return int(given)
