"""Request bodies on their way in, before Django makes a request of them."""

import io
import json
import tempfile
from contextlib import suppress
from typing import Any

from django.conf import settings
from django.core.exceptions import RequestAborted
from django.core.files.uploadhandler import TemporaryFileUploadHandler
from django.core.handlers.asgi import ASGIHandler, ASGIRequest

from console.api.errors import error_body
from console.failures import refused
from console.tus_body import CONTENT_TYPE, LiveBody, is_live
from training import disk
from training.algorithms.base import Message

OVERHEAD = 1024 * 1024  # bytes of a multipart body around its file
TEXT = "The request is larger than this console accepts (%d MB)."


class TooLarge(Exception):
    """The body has more bytes than its kind may have: args[0]."""


class DiskRefused(Exception):
    """The disk does not take the body."""

    def __init__(self, why: Message) -> None:
        super().__init__(str(why))
        self.why = why


class UploadHandler(ASGIHandler):
    """Django's handler writes a large body to the disk while it comes in. Here that disk is CONSOLE_HOME's, which has
    room for datasets, instead of /tmp; and what is larger than any upload may be gets 413 instead of being kept.
    """

    async def handle(self, scope: Any, receive: Any, send: Any) -> None:
        limit = most_bytes(scope)
        try:
            if int(_header(scope, b"content-length") or 0) > limit:
                raise TooLarge(limit)
            if why := _no_room(scope):
                raise DiskRefused(why)
            if is_live(scope):
                await self._handle_live(scope, LiveBody(receive), send)
            else:
                await super().handle(scope, _counted(receive, limit), send)
        except TooLarge as error:
            await _refuse(send, error.args[0])
        except DiskRefused as error:
            answer = refused(ASGIRequest(scope, io.BytesIO()), error.why)
            await _send(send, answer.status_code, answer.headers["Content-Type"], answer.content)

    async def _handle_live(self, scope: Any, body: LiveBody, send: Any) -> None:
        try:
            await super().handle(scope, body, send)
        finally:
            body.end()  # when the server is told to stop: else it would wait for the thread that reads

    async def read_body(self, receive: Any) -> Any:
        """-> the body as an open file, at its beginning. Raises RequestAborted, TooLarge, DiskRefused."""
        if isinstance(receive, LiveBody):
            return receive
        in_memory, folder = settings.FILE_UPLOAD_MAX_MEMORY_SIZE, str(settings.FILE_UPLOAD_TEMP_DIR)
        body = tempfile.SpooledTemporaryFile(max_size=in_memory, dir=folder)  # noqa: SIM115 (the caller closes it)
        try:
            more = True
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise RequestAborted
                body.write(message.get("body", b""))
                more = message.get("more_body", False)
            body.seek(0)
        except BaseException as error:
            with suppress(OSError):  # it writes the rest of its buffer, which the disk does not take either
                body.close()
            if isinstance(error, OSError) and (why := disk.reason(error)):
                raise DiskRefused(why) from error
            raise
        return body


class UploadedFiles(TemporaryFileUploadHandler):
    """Django's files of a form, whose half-written one goes at once when the disk does not take the rest of it."""

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        try:
            super().receive_data_chunk(raw_data, start)
        except OSError:
            self._drop()
            raise

    def file_complete(self, file_size: int) -> Any:
        try:
            return super().file_complete(file_size)
        except OSError:
            self._drop()
            raise

    def _drop(self) -> None:
        with suppress(OSError):  # closing writes what is buffered, which the disk does not take either
            self.file.close()


def most_bytes(scope: Any) -> int:
    """How large this request's body may be: that of a form with a file, or one that is read into memory."""
    if _header(scope, b"content-type").startswith((b"multipart/form-data", CONTENT_TYPE)):
        return int(settings.UPLOAD_MAX_BYTES) + OVERHEAD
    return int(settings.DATA_UPLOAD_MAX_MEMORY_SIZE)


def _no_room(scope: Any) -> Message | None:
    """Why a body of the announced length cannot be kept: said before a byte of it is sent."""
    length = int(_header(scope, b"content-length") or 0)
    if is_live(scope) or length <= settings.FILE_UPLOAD_MAX_MEMORY_SIZE:
        return None
    return disk.no_room(settings.FILE_UPLOAD_TEMP_DIR, length)


def _header(scope: Any, name: bytes) -> bytes:
    return next((bytes(value) for key, value in scope["headers"] if key.lower() == name), b"")


def _counted(receive: Any, limit: int) -> Any:
    """`receive`, which raises TooLarge once more than `limit` bytes came: a chunked body announces no length."""
    seen = 0

    async def counting() -> Any:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > limit:
            raise TooLarge(limit)
        return message

    return counting


async def _refuse(send: Any, limit: int) -> None:
    await _send(send, 413, "application/json", json.dumps(error_body("too_large", TEXT % (limit // 1024**2))).encode())


async def _send(send: Any, status: int, kind: str, body: bytes) -> None:
    headers = [
        (b"content-type", kind.encode()),
        (b"content-length", b"%d" % len(body)),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
