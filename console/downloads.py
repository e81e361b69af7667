"""Files on their way out."""

import os
from collections.abc import AsyncIterator, Iterator
from typing import IO, Any, cast

from asgiref.sync import sync_to_async
from django.http import FileResponse, StreamingHttpResponse
from django.utils.http import content_disposition_header


class PieceByPiece(StreamingHttpResponse):
    """For the ASGI server. Django's own way with a plain iterator is to make all of it a list in memory first."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        pieces = cast(Iterator[bytes], self.streaming_content)
        while piece := await sync_to_async(lambda: next(pieces, b""))():
            yield piece


class Download(PieceByPiece, FileResponse):
    """Sends a file from its position to the end that it has now, so a log may grow meanwhile."""

    block_size = 256 * 1024

    def __init__(self, file: IO[bytes], **kwargs: Any) -> None:
        rest = Rest(file)
        super().__init__(rest, **kwargs)
        self.headers["Content-Length"] = str(rest.length)


class Rest:
    """What is left of a file, up to its length at this moment."""

    def __init__(self, file: IO[bytes]) -> None:
        self.length = self._left = os.fstat(file.fileno()).st_size - file.tell()
        self._file, self.name, self.close = file, file.name, file.close

    def read(self, size: int) -> bytes:
        piece = self._file.read(min(size, self._left))
        self._left -= len(piece)
        return piece


class Archive(PieceByPiece):
    """The pieces of a zip that is made while it is sent."""

    def __init__(self, pieces: Iterator[bytes], filename: str) -> None:
        super().__init__(pieces, content_type="application/zip")
        self.headers["Content-Disposition"] = content_disposition_header(as_attachment=True, filename=filename) or ""
