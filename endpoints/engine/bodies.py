"""What a request brings along: its body, its headers, and how the body's media type is told."""

from collections.abc import Mapping
from typing import NamedTuple

from endpoints.engine.errors import UnsupportedMediaType

JSON = "application/json"


class Request(NamedTuple):
    """One request with its whole body. `headers` have lower-case names."""

    body: bytes = b""
    headers: Mapping[bytes, bytes] = {}

    @property
    def media_type(self) -> str:
        """Without its parameters, in lower case; JSON when the caller says nothing."""
        named = self.headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
        return named.decode("latin-1") or JSON


def need_json(request: Request) -> bytes:
    """The body. Raises UnsupportedMediaType when it is sent as something else."""
    if request.media_type != JSON:
        raise UnsupportedMediaType("The body must be sent as Content-Type: application/json.")
    return request.body
