"""Tensors of the Open Inference Protocol: in the JSON, or behind it as the binary tensor data extension puts them.

Formats: https://github.com/kserve/open-inference-protocol (specification/protocol/inference_rest.md) and
https://docs.nvidia.com/deeplearning/triton-inference-server/user-guide/docs/protocol/extension_binary_data.html:
little-endian, row by row; an element of BYTES is its length as a 4-byte number, then the bytes.
"""

import math
import struct
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple

import numpy as np

from endpoints.engine.errors import InvalidTensor, UnknownParameter

DTYPES: dict[str, np.dtype[Any]] = {
    "UINT8": np.dtype("u1"),
    "UINT16": np.dtype("<u2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "FP32": np.dtype("<f4"),
}
DATATYPES = {dtype: name for name, dtype in DTYPES.items()}
JSON_TYPES: dict[str, tuple[set[type], str]] = {"BYTES": ({str}, "strings"), "FP32": ({int, float}, "numbers")}
LENGTH = struct.Struct("<I")


class Spec(NamedTuple):
    """What a tensor must be. In `shape`, -1 stands for any number."""

    datatype: str
    shape: tuple[int, ...]


class Tensor(NamedTuple):
    """One input. `values`: an array of `shape`, or a BYTES tensor's elements row by row, str when they come from JSON.

    `field` is its path in the request, for errors.
    """

    name: str
    shape: tuple[int, ...]
    values: Any
    field: str


def read(entry: Any, known: Mapping[str, Spec], binary: bytes, field: str) -> Tensor:
    """One of a request's `inputs`. `binary` is what stands behind the JSON. Raises InvalidTensor, UnknownParameter."""
    if not isinstance(entry, dict):
        raise InvalidTensor(field, "Must be an object with name, datatype, shape and data.")
    name = entry.get("name")
    spec = known.get(name) if isinstance(name, str) else None
    if spec is None:
        raise InvalidTensor(f"{field}.name", f"Must be one of {', '.join(known)}.")
    if entry.get("datatype") != spec.datatype:
        raise InvalidTensor(f"{field}.datatype", f"Must be {spec.datatype} for {name}.")
    shape = _shape(entry.get("shape"), spec, f"{field}.shape")
    size = _binary_size(entry, f"{field}.parameters")
    if size is None:
        if binary:
            raise InvalidTensor(f"{field}.parameters.binary_data_size", f"Is missing: {len(binary)} bytes came.")
        values = _from_json(entry.get("data"), spec.datatype, math.prod(shape), f"{field}.data")
    else:
        if "data" in entry:
            raise InvalidTensor(f"{field}.data", "Must be absent where binary_data_size is given.")
        if size != len(binary):
            problem = f"Is {size}, but {len(binary)} bytes came behind the JSON."
            raise InvalidTensor(f"{field}.parameters.binary_data_size", problem)
        values = _from_binary(binary, spec.datatype, math.prod(shape), f"{field}.data")
    return Tensor(entry["name"], shape, values if spec.datatype == "BYTES" else values.reshape(shape), field)


def _shape(value: Any, spec: Spec, field: str) -> tuple[int, ...]:
    """BYTES of shape [n] may also be sent as [n, 1], as clients with a batch axis do."""
    if not isinstance(value, list) or not all(type(side) is int for side in value):
        raise InvalidTensor(field, "Must be a list of whole numbers.")
    wanted = (*spec.shape, 1) if spec.datatype == "BYTES" and len(value) == len(spec.shape) + 1 else spec.shape
    fits = len(value) == len(wanted) and all(
        side > 0 if want == -1 else side == want for side, want in zip(value, wanted, strict=True)
    )
    if not fits:
        raise InvalidTensor(field, f"Must be {list(spec.shape)}, where -1 stands for any number from 1 on.")
    return tuple(value)


def _binary_size(entry: Mapping[str, Any], field: str) -> int | None:
    parameters = entry.get("parameters")
    for name in _object(parameters, field):
        if name != "binary_data_size":
            raise UnknownParameter(f"{field}.{name}", "Unknown. Known: binary_data_size.")
    size = _object(parameters, field).get("binary_data_size")
    if size is not None and (type(size) is not int or size < 0):
        raise InvalidTensor(f"{field}.binary_data_size", "Must be a number of bytes.")
    return size


def _object(value: Any, field: str) -> Mapping[str, Any]:
    if value is not None and not isinstance(value, dict):
        raise InvalidTensor(field, "Must be an object.")
    return value or {}


def _from_json(data: Any, datatype: str, count: int, field: str) -> Any:
    """`data` is flat, or nested as the shape says; both are in use."""
    if not isinstance(data, list):
        raise InvalidTensor(field, "Must be a list.")
    while data and type(data[0]) is list:
        if set(map(type, data)) != {list}:
            raise InvalidTensor(field, "Its lists must be of one depth.")
        data = list(chain.from_iterable(data))
    if len(data) != count:
        raise InvalidTensor(field, f"Holds {len(data)} elements, but the shape says {count}.")
    types, what = JSON_TYPES.get(datatype, ({int}, "whole numbers"))
    if not set(map(type, data)) <= types:
        raise InvalidTensor(field, f"Must hold {what} only.")
    if datatype == "BYTES":
        return data
    try:
        with np.errstate(over="ignore"):
            return _finite(np.array(data, DTYPES[datatype]), field)
    except OverflowError as error:
        raise InvalidTensor(field, f"Holds a number that is no {datatype}.") from error


def _from_binary(binary: bytes, datatype: str, count: int, field: str) -> Any:
    if datatype == "BYTES":
        elements = list(_elements(binary, field))
        if len(elements) != count:
            raise InvalidTensor(field, f"Holds {len(elements)} elements, but the shape says {count}.")
        return elements
    wanted = count * DTYPES[datatype].itemsize
    if len(binary) != wanted:
        raise InvalidTensor(field, f"Is {len(binary)} bytes long, but the shape says {wanted}.")
    return _finite(np.frombuffer(binary, DTYPES[datatype]), field)


def _elements(binary: bytes, field: str) -> Iterator[bytes]:
    at = 0
    while at < len(binary):
        start = at + LENGTH.size
        at = start + LENGTH.unpack_from(binary, at)[0] if start <= len(binary) else start
        if at > len(binary):
            raise InvalidTensor(field, "Its last element is cut off.")
        yield binary[start:at]


def _finite(array: np.ndarray, field: str) -> np.ndarray:
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise InvalidTensor(field, "Holds numbers that are not finite.")
    return array


def describe(specs: Mapping[str, Spec]) -> list[dict[str, Any]]:
    """As the model's metadata show them."""
    return [{"name": name, "datatype": spec.datatype, "shape": list(spec.shape)} for name, spec in specs.items()]


def write(name: str, array: np.ndarray, as_binary: bool) -> tuple[dict[str, Any], bytes]:
    """One of an answer's `outputs` and what of it goes behind the JSON. An array of objects holds strings: BYTES."""
    is_text = array.dtype == object
    entry = {"name": name, "datatype": "BYTES" if is_text else DATATYPES[array.dtype], "shape": list(array.shape)}
    if not as_binary:
        flat = np.ascontiguousarray(array).ravel()
        return entry | {"data": flat.tolist() if is_text else flat}, b""
    binary = _packed(array.ravel().tolist()) if is_text else array.tobytes()
    return entry | {"parameters": {"binary_data_size": len(binary)}}, binary


def _packed(texts: Sequence[str]) -> bytes:
    encoded = [text.encode() for text in texts]
    return b"".join(chain.from_iterable((LENGTH.pack(len(text)), text) for text in encoded))
