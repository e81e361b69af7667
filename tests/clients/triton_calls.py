"""Calls a stage URL with the stock `tritonclient`, in its own environment: `triton_calls.py HOST:PORT/PATH KEY IMAGE`.

Prints one JSON object: what each call gave.
"""

import asyncio
import base64
import json
import sys
from pathlib import Path

import numpy as np
import tritonclient.http as triton
import tritonclient.http.aio as triton_aio
from tritonclient.utils import InferenceServerException

MODEL = "colours"


def tensor(name, datatype, array, binary):
    given = triton.InferInput(name, list(array.shape), datatype)
    given.set_data_from_numpy(array, binary_data=binary)
    return given


def told(result):
    """The labels and scores of an answer."""
    labels = [text.decode() if isinstance(text, bytes) else text for text in result.as_numpy("labels").ravel()]
    return {"labels": labels, "scores": result.as_numpy("scores").ravel().tolist()}


def refused(call):
    try:
        call()
    except InferenceServerException as error:
        return {"status": error.status(), "message": error.message(), "text": str(error)}
    return "answered"


def health(client, headers):
    return {
        "live": client.is_server_live(headers=headers),
        "ready": client.is_server_ready(headers=headers),
        "model_ready": client.is_model_ready(MODEL, headers=headers),
        "version_ready": client.is_model_ready(MODEL, "1", headers=headers),
        "other_ready": client.is_model_ready("other", headers=headers),
        "server": client.get_server_metadata(headers=headers),
        "model": client.get_model_metadata(MODEL, "1", headers=headers),
    }


def answers(client, headers, image, pixels):
    file = np.array([image], dtype=np.object_)
    text = np.array([base64.b64encode(image).decode()], dtype=np.object_)

    def ask(given, **options):
        return client.infer(MODEL, [given], headers=dict(headers), **options)

    def outputs(binary):
        return [triton.InferRequestedOutput(name, binary_data=binary) for name in ("labels", "scores")]

    pair = ask(tensor("image", "BYTES", np.array([[image], [image]], dtype=np.object_), True))
    network = np.full((1, 3, 8, 8), -1, np.float32)
    raw = ask(tensor("pixel_values", "FP32", network, True), request_id="n1")
    later = client.async_infer(MODEL, [tensor("image", "BYTES", file, True)], headers=dict(headers)).get_result()
    return {
        "file": told(ask(tensor("image", "BYTES", file, True))),
        "base64": told(ask(tensor("image", "BYTES", text, False))),
        "pixels": told(ask(tensor("pixels", "UINT8", pixels, True))),
        "pixels_json": told(ask(tensor("pixels", "UINT8", pixels, False), outputs=outputs(False))),
        "binary_outputs": told(ask(tensor("image", "BYTES", file, True), outputs=outputs(True))),
        "version": told(ask(tensor("image", "BYTES", file, True), model_version="1")),
        "gzip": told(ask(tensor("image", "BYTES", file, True), request_compression_algorithm="gzip")),
        "deflate": told(ask(tensor("image", "BYTES", text, False), request_compression_algorithm="deflate")),
        "gzip_answer": told(ask(tensor("image", "BYTES", file, True), response_compression_algorithm="gzip")),
        "later": told(later),
        "pair": list(pair.as_numpy("scores").shape),
        "network": raw.as_numpy("logits").tolist(),
        "id": raw.get_response()["id"],
    }


def refusals(client, headers):
    nothing = tensor("image", "BYTES", np.array([b"no image"], dtype=np.object_), True)
    return {
        "no_image": refused(lambda: client.infer(MODEL, [nothing], headers=dict(headers))),
        "no_key": refused(lambda: client.infer(MODEL, [nothing])),
        "no_model": refused(lambda: client.infer("other", [nothing], headers=dict(headers))),
        "no_parameter": refused(lambda: client.infer(MODEL, [nothing], headers=dict(headers), priority=2)),
    }


async def awaited(url, headers, image):
    async with triton_aio.InferenceServerClient(url) as client:
        given = triton_aio.InferInput("image", [1], "BYTES")
        given.set_data_from_numpy(np.array([image], dtype=np.object_))
        json_only = triton_aio.InferInput("image", [1], "BYTES")
        text = np.array([base64.b64encode(image).decode()], dtype=np.object_)
        json_only.set_data_from_numpy(text, binary_data=False)
        return [told(await client.infer(MODEL, [one], headers=dict(headers))) for one in (given, json_only)]


def main():
    url, key, path = sys.argv[1:]
    image, headers = Path(path).read_bytes(), {"Authorization": f"Bearer {key}"}
    pixels = np.zeros((1, 10, 12, 3), np.uint8)
    pixels[..., 0] = 255
    with triton.InferenceServerClient(url) as client:
        found = {
            "health": health(client, headers),
            "answers": answers(client, headers, image, pixels),
            "refusals": refusals(client, headers),
        }
    found["awaited"] = asyncio.run(awaited(url, headers, image))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
