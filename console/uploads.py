"""Request bodies on their way in, before Django makes a request of them."""

import json
import tempfile
from typing import Any

from django.conf import settings
from django.core.exceptions import RequestAborted
from django.core.handlers.asgi import ASGIHandler

from console.api.errors import error_body
from console.tus_body import CONTENT_TYPE, LiveBody, is_live

OVERHEAD = 1024 * 1024  # bytes of a multipart body around its file
TEXT = "The request is larger than this console accepts (%d MB)."


class TooLarge(Exception):
    """The body has more bytes than its kind may have: args[0]."""


class UploadHandler(ASGIHandler):
    """Django's handler writes a large body to the disk while it comes in. Here that disk is CONSOLE_HOME's, which has
    room for datasets, instead of /tmp; and what is larger than any upload may be gets 413 instead of being kept.
    """

    async def handle(self, scope: Any, receive: Any, send: Any) -> None:
        limit = most_bytes(scope)
        try:
            if int(_header(scope, b"content-length") or 0) > limit:
                raise TooLarge(limit)
            await super().handle(scope, LiveBody(receive) if is_live(scope) else _counted(receive, limit), send)
        except TooLarge as error:
            await _refuse(send, error.args[0])

    async def read_body(self, receive: Any) -> Any:
        """-> the body as an open file, at its beginning. Raises RequestAborted, TooLarge."""
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
        except BaseException:
            body.close()
            raise
        body.seek(0)
        return body


def most_bytes(scope: Any) -> int:
    """How large this request's body may be: that of a form with a file, or one that is read into memory."""
    if _header(scope, b"content-type").startswith((b"multipart/form-data", CONTENT_TYPE)):
        return int(settings.UPLOAD_MAX_BYTES) + OVERHEAD
    return int(settings.DATA_UPLOAD_MAX_MEMORY_SIZE)


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
    body = json.dumps(error_body("too_large", TEXT % (limit // 1024**2))).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": 413, "headers": headers})
    await send({"type": "http.response.body", "body": body})
