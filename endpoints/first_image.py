"""The first image of a request's body, whichever protocol it follows. Slow: never on the way of a call."""

import base64
import binascii
import email
import email.policy
import json
from typing import Any

import orjson

LENGTH = 4  # bytes before each element of a BYTES tensor in V2's binary extension, little endian


def first_image(body: bytes, content_type: str) -> bytes | None:
    """The file of the first image, not looked at further; None where the body has none."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        return _of_multipart(body, content_type)
    if kind.startswith("image/") or not body[:64].lstrip().startswith(b"{"):
        return body or None
    return _of_json(body)


def _of_multipart(body: bytes, content_type: str) -> bytes | None:
    head = f"Content-Type: {content_type}\r\n\r\n".encode("latin-1", "replace")
    message = email.message_from_bytes(head + body, policy=email.policy.HTTP)
    for part in message.walk():
        content = part.get_payload(decode=True)
        if isinstance(content, bytes) and (part.get_filename() or part.get_content_maintype() == "image"):
            return content
    return None


def _of_json(body: bytes) -> bytes | None:
    """Of the guide's protocol and KServe V1, {"instances": [{"data": base64}]}; of V2, {"inputs": [{"data": [base64]}]}
    or the bytes that follow the JSON."""
    request, tail = _split(body)
    instance = _first(request, "instances")
    if isinstance(instance, dict):
        return _decoded(next((instance[name] for name in ("data", "b64") if name in instance), None))
    tensor = _first(request, "inputs")
    if not isinstance(tensor, dict) or tensor.get("datatype") != "BYTES":
        return None
    data = _first(tensor, "data")
    if data is not None:
        return _decoded(data)
    size = int.from_bytes(tail[:LENGTH], "little")
    return tail[LENGTH : LENGTH + size] or None


def _split(body: bytes) -> tuple[Any, bytes]:
    """-> (the JSON that the body begins with, what follows it)."""
    try:
        return orjson.loads(body), b""
    except orjson.JSONDecodeError:
        pass  # no failure yet: binary tensors may follow
    try:
        value, end = json.JSONDecoder().raw_decode(body.decode("latin-1"))
    except (ValueError, RecursionError):
        return None, b""
    return value, body[end:]


def _first(value: Any, name: str) -> Any:
    """The first element of the list value[name]; None where there is no such thing."""
    found = value.get(name) if isinstance(value, dict) else None
    return found[0] if isinstance(found, list) and found else None


def _decoded(value: Any) -> bytes | None:
    if isinstance(value, dict):
        value = value.get("b64")
    try:
        return base64.b64decode(value) or None if isinstance(value, str) else None
    except (binascii.Error, ValueError):
        return None
