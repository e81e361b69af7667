"""The engine's HTTP side without a socket: a toy detector behind the real data plane, and a client that speaks ASGI."""

import asyncio
import base64
import io
import json
import threading
import zlib
from types import SimpleNamespace

import numpy as np
from PIL import Image

from endpoints.http import EXTENSION

MANIFEST = {
    "algorithm": "object_detection",
    "labels": [{"id": 1, "name": "balloon"}],
    "preprocessing": {"shortest": 32, "longest": 64, "mean": [0.5] * 3, "std": [0.5] * 3},
    "threshold": 0.5,
}
REPORT = {
    "inputs": [
        {"name": "pixel_values", "datatype": "FP32", "shape": [-1, 3, -1, -1]},
        {"name": "pixel_mask", "datatype": "INT64", "shape": [-1, -1, -1]},
    ],
    "outputs": [
        {"name": "logits", "datatype": "FP32", "shape": [-1, 1, 2]},
        {"name": "pred_boxes", "datatype": "FP32", "shape": [-1, 1, 4]},
    ],
}
INPUT_BYTES = 3 * 32 * 64 * 4  # of GOOD, once it is resized


class Toy:
    """A detector that finds one box in every image, and only while `gate` is open."""

    batch_pixels = 64 * 64 * 4

    def __init__(self):
        self.gate = threading.Event()
        self.gate.set()
        self.begun = threading.Event()
        self.images = 0

    def run(self, inputs):
        self.begun.set()
        assert self.gate.wait(10)
        count = len(inputs["pixel_values"])
        self.images += count
        boxes = np.full((count, 1, 4), 0.5, dtype=np.float32)
        return {"logits": np.tile(np.float32([[3.0, 0.0]]), (count, 1, 1)), "pred_boxes": boxes}


class Client:
    """Speaks ASGI to an app whose model is loaded."""

    def __init__(self, app):
        self.app = app

    async def exchange(self, method, path, chunks=(b"",), headers=None, disconnect=False):
        """-> (status, body, headers); None when nothing was answered."""
        messages = asyncio.Queue()
        for i, chunk in enumerate(chunks):
            messages.put_nowait({"type": "http.request", "body": chunk, "more_body": disconnect or i < len(chunks) - 1})
        if disconnect:
            messages.put_nowait({"type": "http.disconnect"})
        sent = []

        async def send(message):
            sent.append(message)

        given = {"content-type": "application/json"} if headers is None else headers
        raw = [(k.encode(), v.encode()) for k, v in given.items()]
        here = {EXTENSION: SimpleNamespace(disconnected=False, when_gone=None)}
        scope = {"type": "http", "method": method, "path": path, "headers": raw, "extensions": here}
        await self.app(scope, messages.get, send)
        if not sent:
            return None
        answer = {k.decode(): v.decode() for k, v in sent[0]["headers"]}
        return sent[0]["status"], sent[1]["body"], answer

    async def request(self, *arguments, **options):
        """-> (status, the JSON of the body, headers)"""
        answer = await self.exchange(*arguments, **options)
        return answer and (answer[0], json.loads(answer[1]), answer[2])

    async def post(self, body, path="/inference"):
        return await self.request("POST", path, [body if isinstance(body, bytes) else json.dumps(body).encode()])


def form(*parts):
    """(field, content) of each part -> (headers, body) of a form with files."""
    head = 'Content-Disposition: form-data; name="{}"; filename="a.png"\r\nContent-Type: image/png\r\n\r\n'
    body = b"".join(b"--limit\r\n" + head.format(name).encode() + content + b"\r\n" for name, content in parts)
    return {"content-type": "multipart/form-data; boundary=limit"}, body + b"--limit--\r\n"


def png(size=(40, 20), mode="RGB"):
    file = io.BytesIO()
    Image.new(mode, size).save(file, "PNG")
    return file.getvalue()


def b64(data):
    return base64.b64encode(data).decode()


GOOD = {"data": b64(png())}
BOX = {"balloon": {"xmin": 10, "ymin": 5, "xmax": 30, "ymax": 15}}


def bomb():
    """A PNG of a few hundred bytes that says it is 20,000 x 20,000."""
    head = b"IHDR" + (20_000).to_bytes(4, "big") * 2 + bytes([8, 2, 0, 0, 0])
    parts = [b"\x89PNG\r\n\x1a\n"]
    for chunk in (head, b"IDAT" + zlib.compress(bytes(1000)), b"IEND"):
        parts += [(len(chunk) - 4).to_bytes(4, "big"), chunk, zlib.crc32(chunk).to_bytes(4, "big")]
    return b"".join(parts)
