"""Malformed requests for a stage that serves the model of `colours`: the same ones for the same random numbers."""

import base64
import gzip
import json
import struct
from collections.abc import Callable, Iterator
from random import Random
from typing import Any, NamedTuple

from tests.endpoints.damage import damaged, image, is_readable, no_image

GUIDE = ("", "/inference", "/v1/models/colours/predict", "/v1/models/colours:predict")
RAW = ("", "/inference")
INFER = ("/v2/models/colours/infer", "/v2/models/colours/versions/1/infer")
JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "multipart/form-data; boundary=limit"}
LARGEST = 10 * 2**20


class Malformed(NamedTuple):
    """`is_certain`: no reader could make sense of it. Otherwise it is damage that a lenient one may overlook."""

    path: str
    headers: dict[str, str]
    body: bytes
    is_certain: bool = True


JUNK: tuple[Any, ...] = (
    None, True, 0, -1, 3.5, 2**63, -(2**63), 1e308, float("nan"), "", "x", "\0", "😀", "====", "aGk=", [], {}, [[]],
    [None], [0], [-1], [2**62, 4], [1, 2, 3, 4, 5, 6], [[[[[[[]]]]]]], {"data": {}}, {"b64": "aGk="}, ["x"] * 300,
)  # fmt: skip


def spoilt(random: Random, value: Any, allowed: Callable[[Any], bool] = lambda junk: True) -> Any:
    """A copy of a JSON value in which one of its parts, or all of it, is junk."""
    if isinstance(value, dict) and value and random.random() < 0.8:
        key = random.choice(list(value))
        return {**value, key: spoilt(random, value[key])}
    if isinstance(value, list) and value and random.random() < 0.8:
        at = random.randrange(len(value))
        return [*value[:at], spoilt(random, value[at]), *value[at + 1 :]]
    return random.choice([junk for junk in JUNK if type(junk) is not type(value) or junk != value])


def text_of(image_file: bytes) -> str:
    return base64.b64encode(image_file).decode()


def bad_json(random: Random) -> Malformed:
    whole = json.dumps({"instances": [{"data": text_of(image(random, "PNG"))}]}).encode()
    bodies = [
        random.randbytes(random.choice([0, 1, 3, 50, 3000])),
        whole[: random.randrange(len(whole))],
        b"[" * random.choice([10, 1000, 100_000]),
        b'{"instances": ' + b"[" * 900 + b"]" * 900 + b"}",
        b'{"instances": [{"data": "\\ud800"}]}',
        b'{"instances": [{"data": "\xff\xfe"}]}',
        b'{"instances": [NaN]}',
        b'{"instances": [1' + b"0" * 5000 + b"]}",
        b'"' + whole + b'"',
        whole + whole,
        b"\xef\xbb\xbf",
    ]
    return Malformed(random.choice(GUIDE + INFER), JSON, random.choice(bodies))


def bad_instances(random: Random) -> Malformed:
    good = {"data": text_of(image(random, "PNG"))}
    body = {"instances": [good] * random.randint(1, 3)}
    body = spoilt(random, body)
    if random.random() < 0.2:
        name = random.choice(["threshold", "top_k", "", "\0", "x" * 3000, "__proto__"])
        body = {"instances": [good], "parameters": random.choice([{name: 1}, 7, "x", [1], True])}
    return Malformed(random.choice(GUIDE), JSON, json.dumps(body).encode())


def bad_image(random: Random) -> Malformed:
    """As a raw body, in base64, in a form, as a tensor."""
    data = no_image(random) if random.random() < 0.4 else damaged(random, image(random))
    is_certain = not is_readable(data)
    where = random.randrange(5)
    if where == 0:
        media_type = random.choice(["image/png", "image/jpeg", "image/*", "application/octet-stream", "image/x-y"])
        return Malformed(random.choice(RAW), {"Content-Type": media_type}, data, is_certain)
    if where == 1:
        part = (
            b'--limit\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n'
            + data
            + b"\r\n--limit--\r\n"
        )
        return Malformed(random.choice(RAW), FORM, part, is_certain)
    if where == 2:
        tensor = {"name": "image", "datatype": "BYTES", "shape": [1], "data": [text_of(data)]}
        return Malformed(random.choice(INFER), JSON, json.dumps({"inputs": [tensor]}).encode(), is_certain)
    if where == 3:
        return binary(random, b"".join([struct.pack("<I", len(data)), data]), [1], is_certain=is_certain)
    body = {"instances": [{"data": text_of(data)}]}
    return Malformed(random.choice(GUIDE), JSON, json.dumps(body).encode(), is_certain)


def binary(
    random: Random,
    data: bytes,
    shape: Any,
    size: Any = None,
    length: Any = None,
    name: str = "image",
    is_certain: bool = True,
) -> Malformed:
    """A request with binary data; `size` and `length` are told as they are unless given."""
    datatype = {"image": "BYTES", "pixels": "UINT8", "pixel_values": "FP32"}[name]
    told = {"binary_data_size": len(data) if size is None else size}
    tensor = {"name": name, "datatype": datatype, "shape": shape, "parameters": told}
    text = json.dumps({"inputs": [tensor]}).encode()
    headers = {"Inference-Header-Content-Length": str(len(text) if length is None else length)}
    return Malformed(random.choice(INFER), headers, text + data, is_certain)


def bad_binary(random: Random) -> Malformed:
    element = struct.pack("<I", 70) + random.randbytes(70)
    numbers = random.choice([0, -1, 2**31, 2**63, 2**64, 10**30, 1.5, "7", None, [], True])
    choices: list[Callable[[], Malformed]] = [
        lambda: binary(random, element, [1], size=random.choice([0, 1, -74, 75, 2**40, "74", [], True])),
        lambda: binary(random, element, [1], length=random.choice(["", "x", -1, 10**12, "1e3", "٣", 5, 0, 10**8])),
        lambda: binary(random, element[: random.randrange(1, 74)], [1]),
        lambda: binary(random, struct.pack("<I", 2**32 - 1) + random.randbytes(9), [1]),
        lambda: binary(random, b"\0" * random.randint(1, 4000), [random.choice([1, 3, 10**6])]),
        lambda: binary(random, element, [numbers]),
        lambda: binary(random, random.randbytes(300), [1, 10, 10, 3][: random.randrange(4)], name="pixels"),
        lambda: binary(random, random.randbytes(300), [numbers, 10, 10, 3], name="pixels"),
        lambda: binary(random, random.randbytes(random.choice([1, 767, 769, 4000])), [1, 3, 8, 8], name="pixel_values"),
        lambda: binary(random, b"\xff\xff\xff\x7f" * 192, [1, 3, 8, 8], name="pixel_values"),
        lambda: binary(random, random.randbytes(768), [1, 3, 2**32, 2**32], name="pixel_values"),
    ]
    return random.choice(choices)()


def bad_tensor(random: Random) -> Malformed:
    tensors = [
        {"name": "image", "datatype": "BYTES", "shape": [1], "data": [text_of(image(random, "PNG"))]},
        {
            "name": "pixels",
            "datatype": "UINT8",
            "shape": [1, 2, 2, 3],
            "data": [random.randrange(256) for _ in range(12)],
        },
        {"name": "pixel_values", "datatype": "FP32", "shape": [1, 3, 8, 8], "data": [0.5] * 192},
    ]
    tensor = random.choice(tensors)
    key = random.choice(list(tensor))
    junk = spoilt(random, tensor[key])
    if key == "data" and tensor["datatype"] == "FP32" and isinstance(junk, list):
        junk = [*tensor["data"], 0.5]  # most junk among numbers is a number
    elif key == "data" and tensor["datatype"] == "UINT8" and isinstance(junk, list):
        junk = [*tensor["data"][:-1], random.choice([-1, 256, 2**64, 1.5, "1", None, True, [1], {}])]
    elif key == "shape" and isinstance(junk, list):
        junk = random.choice([[], [0], [-1], [1.0], [True], ["1"], [[1]], [2**70], [2**31] * 4, [1] * 5, [1, 2, 2, 4]])
    body: dict[str, Any] = {"inputs": [{**tensor, key: junk}]}
    if random.random() < 0.3:
        more = [
            {"id": random.choice([1, [], {}, True])},
            {
                "outputs": random.choice(
                    [7, "labels", {}, True, [7], [{}], [{"name": "none"}], [{"name": ["labels"]}], [None]]
                )
            },
            {"parameters": random.choice([7, "x", [1], {"sequence_id": 1}, {"binary_data_output": "yes"}, {"": None}])},
            {"inputs": random.choice([[], None, 7, {}, tensors, [tensor, tensor], [None], [[]]])},
        ]
        body = {"inputs": [tensor], **random.choice(more)}
    return Malformed(random.choice(INFER), JSON, json.dumps(body).encode())


def bad_form(random: Random) -> Malformed:
    good = image(random, "PNG")
    head = b'Content-Disposition: form-data; name="%b"; filename="a.png"\r\n'
    whole = b"--limit\r\n" + head % b"image" + b"\r\n" + good + b"\r\n--limit--\r\n"
    bodies = [
        whole[: random.randrange(len(whole) - 4)],
        whole.replace(b"\r\n", b"\n"),
        whole.replace(b"image", random.choice([b"", b"picture", b"\xff\xfe", b"x" * 9000, b"instances", b"image[]"])),
        whole.replace(b"form-data", random.choice([b"attachment", b"", b";;;"])),
        whole.replace(b"Content-Disposition", random.choice([b"X", b"", b" ", b"Content Disposition"])),
        whole.replace(head % b"image", b""),
        whole.replace(head % b"image", head % b"image" * 20),
        whole.replace(b"\r\n\r\n", b"\r\nContent-Length: %d\r\n\r\n" % random.choice([0, 1, 10**9]), 1),
        b"--limit\r\n"
        + head % b"parameters"
        + b"\r\n"
        + random.randbytes(9)
        + whole.replace(b"--limit", b"\r\n--limit", 1),
        b"--limit--\r\n",
        b"--limit\r\n--limit\r\n--limit--\r\n",
        b"x" + whole,
        whole.replace(b"--limit--", b"--limit-- trailing", 1)[:-20],
    ]
    types = [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        'multipart/form-data; boundary="',
        "multipart/form-data; boundary=other",
    ]
    if random.random() < 0.2:
        return Malformed(random.choice(RAW), {"Content-Type": random.choice(types)}, whole)
    return Malformed(random.choice(RAW), FORM, random.choice(bodies))


def bad_encoding(random: Random) -> Malformed:
    whole = json.dumps({"instances": [{"data": text_of(image(random, "PNG"))}]}).encode()
    packed = gzip.compress(whole)
    cases = [
        ("gzip", whole),
        ("deflate", whole),
        ("gzip", packed[: random.randrange(len(packed))]),
        ("gzip", packed + b"more"),
        ("gzip", gzip.compress(packed)),
        (random.choice(["br", "zstd", "compress", "gzip, gzip", "x", "*"]), packed),
        ("gzip", gzip.compress(whole[:-1])),
        ("gzip", packed[:10] + random.randbytes(200)),
    ]
    if random.random() < 0.02:
        cases = [("gzip", gzip.compress(bytes(LARGEST + 1), 1))]
    encoding, body = random.choice(cases)
    return Malformed(random.choice(GUIDE + INFER), {**JSON, "Content-Encoding": encoding}, body)


def bad_type(random: Random) -> Malformed:
    types = [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/xml",
        "video/mp4",
        "x",
        "/",
        "multipart/mixed",
    ]
    whole = json.dumps({"instances": [{"data": text_of(image(random, "PNG"))}]}).encode()
    if random.random() < 0.01:
        return Malformed(random.choice(GUIDE + INFER), JSON, bytes(LARGEST + 1))
    return Malformed(random.choice(GUIDE + INFER), {"Content-Type": random.choice(types)}, whole)


KINDS = (bad_json, bad_instances, bad_image, bad_binary, bad_tensor, bad_form, bad_encoding, bad_type)


def requests(seed: int) -> Iterator[Malformed]:
    """Endlessly."""
    random = Random(seed)
    while True:
        yield random.choice(KINDS)(random)
