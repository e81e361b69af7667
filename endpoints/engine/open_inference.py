"""The Open Inference Protocol, V2 (https://github.com/kserve/open-inference-protocol), with the binary tensor data
extension: one request's tensors to instances, the network's outputs to an answer's tensors.

A request has one input, one of three kinds: `image` (files), `pixels`, or the network's own. Its answer's tensors are
the algorithm's, for the first two, or the network's own outputs, for the last; `outputs` may name any of both.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import orjson
import pybase64

from endpoints.engine import tensors
from endpoints.engine.batcher import Arrays
from endpoints.engine.bodies import BYTES, JSON, Request, json_object, plain
from endpoints.engine.errors import (
    InvalidParameter,
    InvalidRequest,
    InvalidTensor,
    Response,
    TooManyInstances,
    UnknownParameter,
    UnsupportedMediaType,
)
from endpoints.engine.instances import ImageFile, NetworkInput, Pixels
from endpoints.engine.model import ServedModel, from_base64
from endpoints.engine.plane import DataPlane
from endpoints.engine.tensors import Spec, Tensor

VERSION = "1"  # of every model: a stage gets another one by being deployed anew
HEADER_LENGTH = b"inference-header-content-length"
MAX_IMAGES = 10_000  # a body could hold millions of single pixels
QUICK_BYTES = 2**14  # a body that is read in less time than handing it to a thread takes
IMAGE, PIXELS = "image", "pixels"
BASE64 = re.compile(rb"[A-Za-z0-9+/]{8}")


class Inference(NamedTuple):
    """A request, read. `outputs`: name -> whether as binary data."""

    id: str | None
    instances: list[Any]
    parameters: dict[str, Any]
    outputs: dict[str, bool]


def inputs(model: ServedModel) -> dict[str, Spec]:
    """The three inputs, of which a request has one. The first is for files: how most callers have their images."""
    network = model.tensors["inputs"][0]
    return {
        IMAGE: Spec("BYTES", (-1,)),
        PIXELS: Spec("UINT8", (-1, -1, -1, 3)),
        network["name"]: Spec("FP32", tuple(network["shape"])),
    }


def answer_outputs(model: ServedModel) -> dict[str, Spec]:
    return {name: Spec(*spec) for name, spec in model.predict.tensor_specs(model.manifest).items()}


def network_outputs(model: ServedModel) -> dict[str, Spec]:
    return {spec["name"]: Spec("FP32", tuple(spec["shape"])) for spec in model.tensors["outputs"]}


def metadata(model: ServedModel) -> dict[str, Any]:
    """The `inputs` and `outputs` of the model's metadata."""
    outputs = answer_outputs(model) | network_outputs(model)
    return {"inputs": tensors.describe(inputs(model)), "outputs": tensors.describe(outputs)}


async def infer(name: str, plane: DataPlane, request: Request) -> Response:
    """Raises EngineError."""
    is_quick = len(request.body) <= QUICK_BYTES and not request.encoding
    inference = read(plane.model, request) if is_quick else await plane.in_pool(read, plane.model, request)
    rows, sizes = await plane.run(inference.instances)
    if plane.is_quickly_answered(len(rows)):
        return write(name, plane.model, inference, rows, sizes)
    return await plane.in_pool(write, name, plane.model, inference, rows, sizes)


def read(model: ServedModel, request: Request) -> Inference:
    """Raises EngineError, naming the field."""
    header, binary = _split(request)
    body = json_object(header, "inputs", "an object with inputs")
    identity = body.get("id")
    if identity is not None and not isinstance(identity, str):
        raise InvalidRequest("id", "Must be a string.")
    parameters = dict(_object(body.get("parameters"), "parameters"))
    as_binary = _flag(parameters.pop("binary_data_output", False), "parameters.binary_data_output")
    model.check_parameters(parameters)
    given = body.get("inputs")
    known = inputs(model)
    if not isinstance(given, list) or len(given) != 1:
        raise InvalidTensor("inputs", f"Must be a list of one tensor: one of {', '.join(known)}.")
    tensor = tensors.read(given[0], known, binary, "inputs[0]")
    outputs = _outputs(body.get("outputs"), model, as_binary, tensor.name)
    return Inference(identity, _instances(tensor, model), parameters, outputs)


def _split(request: Request) -> tuple[bytes, bytes]:
    """-> (the JSON, the binary data behind it). Clients send any of the two media types for either."""
    if request.media_type not in {JSON, BYTES}:
        raise UnsupportedMediaType(f"Send {JSON}, or {BYTES} for a body with binary data.")
    body = plain(request)
    length = request.headers.get(HEADER_LENGTH)
    if length is None:
        return body, b""
    if not length.isdigit() or len(length) > 9 or int(length) > len(body):
        raise InvalidRequest(HEADER_LENGTH.decode(), "Must be how many bytes of the body are JSON.")
    return body[: int(length)], body[int(length) :]


def _object(value: Any, field: str) -> Mapping[str, Any]:
    if value is not None and not isinstance(value, dict):
        raise InvalidParameter(field, "Must be an object.")
    return value or {}


def _flag(value: Any, field: str) -> bool:
    if not isinstance(value, bool):
        raise InvalidParameter(field, "Must be true or false.")
    return value


def _outputs(value: Any, model: ServedModel, as_binary: bool, input_name: str) -> dict[str, bool]:
    """What the answer shall hold: what is asked for, else what belongs to the input."""
    answers, network = answer_outputs(model), network_outputs(model)
    if value is None or value == []:
        return dict.fromkeys(answers if input_name in {IMAGE, PIXELS} else network, as_binary)
    if not isinstance(value, list):
        raise InvalidTensor("outputs", "Must be a list.")
    chosen: dict[str, bool] = {}
    for index, entry in enumerate(value):
        field = f"outputs[{index}]"
        name = entry.get("name") if isinstance(entry, dict) else None
        if not isinstance(name, str) or name not in answers | network:
            raise InvalidTensor(f"{field}.name", f"Must be one of {', '.join(answers | network)}.")
        if name in chosen:
            raise InvalidTensor(f"{field}.name", "Is asked for twice.")
        parameters = _object(entry.get("parameters"), f"{field}.parameters")
        for unknown in parameters.keys() - {"binary_data"}:
            raise UnknownParameter(f"{field}.parameters.{unknown}", "Unknown. Known: binary_data.")
        chosen[name] = _flag(parameters.get("binary_data", as_binary), f"{field}.parameters.binary_data")
    return chosen


def _instances(tensor: Tensor, model: ServedModel) -> list[Any]:
    if tensor.shape[0] > MAX_IMAGES:
        raise TooManyInstances(f"{tensor.field}.shape", f"At most {MAX_IMAGES} images in one request.")
    fields = [f"{tensor.field}.data[{index}]" for index in range(tensor.shape[0])]
    if tensor.name == PIXELS:
        return list(map(Pixels, tensor.values, fields))
    if tensor.name == IMAGE:
        return list(map(_file, tensor.values, fields))
    for axis, limit in zip((2, 3), model.predict.input_limit(model.manifest["preprocessing"]), strict=True):
        if tensor.shape[axis] > limit:
            raise InvalidTensor(f"{tensor.field}.shape", f"May be at most {limit} along axis {axis}.")
    return list(map(NetworkInput, tensor.values, fields))


def _file(element: str | bytes, field: str) -> ImageFile:
    """JSON can only hold base64; binary data hold the file itself, or its base64 where a client sends no other."""
    if isinstance(element, str):
        return ImageFile(from_base64(element, field), field)
    if BASE64.match(element):
        try:
            return ImageFile(pybase64.b64decode(b"".join(element.split()), validate=True), field)
        except ValueError:
            pass  # a file that happens to begin like base64: BMP and GIF do
    return ImageFile(element, field)


def write(
    name: str, model: ServedModel, inference: Inference, rows: Sequence[Arrays], sizes: Sequence[tuple[int, int]]
) -> Response:
    """The answer to `inference` from the network's outputs, one of `rows` an instance."""
    arrays = {output: np.stack([row[output] for row in rows]) for output in rows[0]}
    if inference.outputs.keys() - arrays.keys():
        arrays |= model.predict.tensors(arrays, sizes, model.manifest, inference.parameters)
    written = [tensors.write(output, arrays[output], binary) for output, binary in inference.outputs.items()]
    body: dict[str, Any] = {"model_name": name, "model_version": VERSION}
    if inference.id is not None:
        body["id"] = inference.id
    body["outputs"] = [entry for entry, _ in written]
    text = orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY)
    if not any(inference.outputs.values()):
        return Response(text)
    length = (HEADER_LENGTH, str(len(text)).encode())
    return Response(
        b"".join([text, *(binary for _, binary in written)]), headers=(length,), content_type=BYTES.encode()
    )
