"""What can go wrong with a request, as types, and the one table that makes HTTP of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson


class EngineError(Exception):
    """`fields` names what is wrong: {"instances[2].data": "Not base64."}."""

    def __init__(self, message: str, fields: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.fields = dict(fields or {})


class FieldError(EngineError):
    """One field of the body is wrong. Made from its path, so that the message names it too."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}", {field: problem})


class NotJson(EngineError):
    pass


class BrokenEncoding(EngineError):
    """The body is not what its Content-Encoding says."""


class InvalidRequest(FieldError):
    pass


class InvalidInstances(FieldError):
    pass


class InvalidForm(FieldError):
    pass


class InvalidTensor(FieldError):
    pass


class NotBase64(FieldError):
    pass


class NotAnImage(FieldError):
    pass


class ImageTooLarge(FieldError):
    pass


class TooManyInstances(FieldError):
    """Together the images would need more memory than one request may have."""


class UnknownParameter(FieldError):
    pass


class InvalidParameter(FieldError):
    pass


class NotFound(EngineError):
    pass


class MethodNotAllowed(EngineError):
    def __init__(self, allowed: str) -> None:
        super().__init__(f"Only {allowed} is answered here.")
        self.allowed = allowed


class BodyTooLarge(EngineError):
    pass


class UnsupportedMediaType(EngineError):
    pass


class UnsupportedEncoding(EngineError):
    pass


class TooBusy(EngineError):
    """The queue is full: the caller should come back in a moment."""


class NotReady(EngineError):
    """The model is still loading, or the engine is about to exit."""


class DeadlinePassed(EngineError):
    """The answer did not come in time."""


class InferenceFailed(EngineError):
    """The model itself failed on a valid request: ours, not the caller's."""


RETRY_SECONDS = 1

# type -> (status, code). Both are part of the protocol: docs/serving.md lists them.
TABLE: dict[type[EngineError], tuple[int, str]] = {
    NotJson: (400, "not_json"),
    BrokenEncoding: (400, "broken_encoding"),
    InvalidRequest: (400, "invalid_request"),
    InvalidInstances: (400, "invalid_instances"),
    InvalidForm: (400, "invalid_form"),
    InvalidTensor: (400, "invalid_tensor"),
    NotBase64: (400, "not_base64"),
    NotAnImage: (400, "not_an_image"),
    NotFound: (404, "not_found"),
    MethodNotAllowed: (405, "method_not_allowed"),
    ImageTooLarge: (413, "image_too_large"),
    TooManyInstances: (413, "too_many_instances"),
    BodyTooLarge: (413, "body_too_large"),
    UnsupportedMediaType: (415, "unsupported_media_type"),
    UnsupportedEncoding: (415, "unsupported_encoding"),
    UnknownParameter: (422, "unknown_parameter"),
    InvalidParameter: (422, "invalid_parameter"),
    TooBusy: (429, "too_busy"),
    InferenceFailed: (500, "inference_failed"),
    NotReady: (503, "not_ready"),
    DeadlinePassed: (503, "deadline_passed"),
}


@dataclass(frozen=True)
class Response:
    """One HTTP answer; JSON unless it says otherwise."""

    body: bytes
    status: int = 200
    headers: tuple[tuple[bytes, bytes], ...] = ()
    content_type: bytes = b"application/json"


def response(error: EngineError, path: str) -> Response:
    """Below /v2 `error` is the message itself, as the Open Inference Protocol wants it, with code and fields beside."""
    status, code = TABLE[type(error)]
    headers: list[tuple[bytes, bytes]] = []
    if status in (429, 503):
        headers.append((b"retry-after", str(RETRY_SECONDS).encode()))
    if isinstance(error, MethodNotAllowed):
        headers.append((b"allow", error.allowed.encode()))
    body: dict[str, Any] = {"code": code, "message": error.message, "fields": error.fields}
    body = {**body, "error": error.message} if path.split("/")[1:2] == ["v2"] else {"error": body}
    return Response(orjson.dumps(body), status, tuple(headers))
