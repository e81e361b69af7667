"""Calls a stage URL with the stock `kserve` client, in its own environment: `kserve_calls.py URL KEY IMAGE`.

Prints one JSON object: what each call gave.
"""

import asyncio
import base64
import json
import sys
from pathlib import Path

import httpx
import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig
from kserve.protocol.infer_type import RequestedOutput

MODEL = "colours"


async def v1(url, headers, image):
    client = InferenceRESTClient(RESTConfig(protocol="v1"))
    body = {"instances": [{"data": base64.b64encode(image).decode()}]}
    return {
        "live": await client.is_server_live(url, headers=headers),
        "ready": await client.is_model_ready(url, MODEL, headers=headers),
        "answer": await client.infer(url, body, model_name=MODEL, headers=headers),
        "refused": await refused(client.infer(url, {"instances": [{"data": "?"}]}, model_name=MODEL, headers=headers)),
    }


async def v2(url, headers, image):
    client = InferenceRESTClient(RESTConfig(protocol="v2"))
    text = np.array([base64.b64encode(image).decode()], dtype=np.object_)
    file = np.array([image], dtype=np.object_)

    async def ask(array, binary, **options):
        given = InferInput("image", [1], "BYTES")
        given.set_data_from_numpy(array, binary_data=binary)
        request = InferRequest(MODEL, [given], **options)
        answer = await client.infer(url, request, model_name=MODEL, headers=dict(headers))
        return {**{output.name: output.as_numpy().ravel().tolist() for output in answer.outputs}, "id": answer.id}

    chosen = [RequestedOutput("labels", {"binary_data": True}), RequestedOutput("logits")]
    return {
        "live": await client.is_server_live(url, headers=headers),
        "ready": await client.is_server_ready(url, headers=headers),
        "model_ready": await client.is_model_ready(url, MODEL, headers=headers),
        "other_ready": await client.is_model_ready(url, "other", headers=headers),
        "json": await ask(text, False, request_id="k1"),
        "binary": await ask(file, True, parameters={"binary_data_output": True}),
        "chosen": await ask(file, True, request_outputs=chosen),
        "refused": await refused(ask(np.array([b"no image"], dtype=np.object_), True)),
    }


async def refused(call):
    try:
        await call
    except httpx.HTTPStatusError as error:
        return {"status": error.response.status_code, "message": str(error)}
    return "answered"


async def main():
    url, key, path = sys.argv[1:]
    image, headers = Path(path).read_bytes(), {"Authorization": f"Bearer {key}"}
    found = {"v1": await v1(url, headers, image), "v2": await v2(url, headers, image)}
    print(json.dumps(found, default=bytes.decode))


if __name__ == "__main__":
    asyncio.run(main())
