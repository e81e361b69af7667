"""What a request brings along, and how its body becomes instances: JSON, a form, or an image as it is."""

import re
import zlib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import orjson
import pybase64
from multipart import MultipartError, MultipartSegment, PushMultipartParser, parse_options_header

from endpoints.engine.errors import (
    BodyTooLarge,
    BrokenEncoding,
    InvalidForm,
    InvalidInstances,
    InvalidParameter,
    NotJson,
    UnsupportedEncoding,
    UnsupportedMediaType,
)
from endpoints.engine.instances import ImageFile

JSON, FORM, BYTES = "application/json", "multipart/form-data", "application/octet-stream"
MAX_BODY = 10 * 1024 * 1024  # as it comes, and once it is unpacked
IMAGE_FIELDS = ("file", "image", "images")
MAX_PARTS = 1000  # of a form

# The guide's request of one image, around its base64.
ONE_IMAGE = re.compile(rb'\s*\{\s*"instances"\s*:\s*\[\s*\{\s*"data"\s*:\s*"')
ITS_END = re.compile(rb'"\s*\}\s*\]\s*\}\s*')

Call = tuple[list[Any], dict[str, Any]]  # instances, parameters


class Request(NamedTuple):
    """One request with its whole body. `headers` have lower-case names."""

    body: bytes = b""
    headers: Mapping[bytes, bytes] = {}

    @property
    def media_type(self) -> str:
        """Without its parameters, in lower case; JSON when the caller says nothing."""
        named = self.headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
        return named.decode("latin-1") or JSON

    @property
    def encoding(self) -> str:
        """ "" for a body that is not compressed."""
        named = self.headers.get(b"content-encoding", b"").strip().lower()
        return "" if named == b"identity" else named.decode("latin-1")

    @property
    def is_small_work(self) -> bool:
        """Reading it takes less time than handing it to a thread."""
        return self.media_type != FORM and not self.encoding


def plain(request: Request) -> bytes:
    """The body, unpacked. Raises UnsupportedEncoding, BrokenEncoding, BodyTooLarge."""
    if not request.encoding:
        return request.body
    if request.encoding not in {"gzip", "deflate"}:
        raise UnsupportedEncoding("Content-Encoding may be gzip, deflate or absent.")
    unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS + 32)  # tells gzip from zlib by its first bytes
    try:
        body = unpacker.decompress(request.body, MAX_BODY + 1)
    except zlib.error as error:
        raise BrokenEncoding(f"The body is not {request.encoding}.") from error
    if len(body) > MAX_BODY:
        raise BodyTooLarge(f"The body is larger than {MAX_BODY} bytes once it is unpacked.")
    if not unpacker.eof or unpacker.unused_data:
        raise BrokenEncoding(f"The body is not one whole {request.encoding} stream.")
    return body


def need_json(request: Request) -> bytes:
    """The body, unpacked. Raises UnsupportedMediaType when it is sent as something else, and what `plain` raises."""
    if request.media_type != JSON:
        raise UnsupportedMediaType("The body must be sent as Content-Type: application/json.")
    return plain(request)


def read_json(request: Request) -> Call:
    """The guide's and KServe V1's request. Raises NotJson, InvalidInstances, InvalidParameter, or as `need_json`."""
    text = need_json(request)
    image = one_image(text)
    if image is not None:
        return [image], {}
    body = json_object(text, "instances", 'an object: {"instances": [{"data": "<base64>"}]}')
    instances, parameters = body.get("instances"), body.get("parameters")
    if not isinstance(instances, list) or not instances:
        raise InvalidInstances("instances", "Must be a list of at least one instance.")
    if parameters is not None and not isinstance(parameters, dict):
        raise InvalidParameter("parameters", "Must be an object.")
    return instances, parameters or {}


def one_image(text: bytes) -> ImageFile | None:
    """The image of the request that nearly everybody sends, read without a JSON parser, which would check and copy its
    hundreds of kilobytes first. None for any other request, and for one that is not right: the parser says why.

    What can be read as base64 holds nothing that JSON would write in another way.
    """
    start = ONE_IMAGE.match(text)
    end = text.find(b'"', start.end()) if start else -1
    if start is None or end < 0 or not ITS_END.fullmatch(text, end):
        return None
    try:
        file = pybase64.b64decode(memoryview(text)[start.end() : end], validate=True)
    except ValueError:
        return None
    return ImageFile(file, "instances[0].data")


def json_object(text: bytes, field: str, what: str) -> dict[str, Any]:
    """Raises NotJson, or InvalidInstances for another value than an object."""
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise NotJson(f"The body is not JSON: {error}.") from error
    if not isinstance(value, dict):
        raise InvalidInstances(field, f"The body must be {what}.")
    return value


def read_any(request: Request) -> Call:
    """The guide's request in whichever form it comes. Raises UnsupportedMediaType, InvalidForm, or as `read_json`."""
    if request.media_type == JSON:
        return read_json(request)
    if request.media_type == FORM:
        return _form(request)
    if request.media_type == BYTES or request.media_type.startswith("image/"):
        return [ImageFile(plain(request), "body")], {}
    raise UnsupportedMediaType(f"Send {JSON}, a form ({FORM}), or an image file (image/*, {BYTES}).")


def _form(request: Request) -> Call:
    """Images in the order in which they come; `parameters`, as JSON, at most once."""
    images: list[ImageFile] = []
    parameters: dict[str, Any] | None = None
    for name, value in _parts(request):
        if name in IMAGE_FIELDS:
            images.append(ImageFile(value, f"{name}[{len(images)}]"))
        elif name == "parameters" and parameters is None:
            parameters = _form_parameters(value)
        elif name == "parameters":
            raise InvalidParameter("parameters", "Must be given at most once.")
        else:
            raise InvalidForm(name or "form", f"Unknown. Known: {', '.join(IMAGE_FIELDS)}, parameters.")
    if not images:
        raise InvalidForm("image", "Must be there: the image file, as file, image or images.")
    return list(images), parameters or {}


def _form_parameters(value: bytes) -> dict[str, Any]:
    try:
        parameters = orjson.loads(value)
    except orjson.JSONDecodeError as error:
        raise InvalidParameter("parameters", "Must be a JSON object.") from error
    if not isinstance(parameters, dict):
        raise InvalidParameter("parameters", "Must be a JSON object.")
    return parameters


def _parts(request: Request) -> Iterator[tuple[str, bytes]]:
    """The form's (field name, content). Raises InvalidForm for what is no form."""
    content_type = request.headers.get(b"content-type", b"").decode("latin-1")
    boundary = parse_options_header(content_type)[1].get("boundary", "")
    name, chunks = "", list[bytes]()
    try:
        with PushMultipartParser(boundary.encode("latin-1"), max_segment_count=MAX_PARTS) as parser:
            for event in parser.parse(plain(request)):
                if isinstance(event, MultipartSegment):
                    name, chunks = event.name or "", []
                elif event is None:
                    yield name, b"".join(chunks)
                else:
                    chunks.append(bytes(event))
    except MultipartError as error:
        raise InvalidForm("form", f"Is not {FORM} that can be read: {error}.") from error
