"""`python -m benchmarks.serving_servers KIND FOLDER PORT`: one candidate of the serving benchmark, in its own process.

`floor` and `eager` serve nothing, they answer lines on stdin: the one computes in one process what no server can avoid,
the other the answers that all others are compared with. The rest
serve the guide's request on a port of this host:
- `web`: our console's way of a stage URL, before the engine whose socket lies in the folder;
- `litserve-eager`: LitServe, batching on, with the eager network, Pillow and transformers' image processor; it writes
  with our own functions, which are quicker than the stock ones;
- `litserve-decoder`: the same, but it decodes with our own functions too, large JPEGs at a fraction of their size;
- `litserve-runtime`: LitServe with those and our exported model in our runtime;
- `fastapi`: FastAPI around the transformers pipeline, as its documentation shows it.
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from benchmarks.serving_candidates import CHOSEN
from benchmarks.serving_cases import THREADS
from endpoints.engine import runtimes
from endpoints.engine.model import ServedModel

LITSERVE_BATCH, LITSERVE_TIMEOUT = 8, 0.005  # as many callers as the table has


def our_runtime(folder: Path) -> runtimes.Choice:
    """The one that the engine runs on."""
    chosen = json.loads((folder / CHOSEN).read_text())
    return runtimes.choose(folder, "cpu", THREADS, chosen["precision"], chosen["runtime"])


def floor(folder: Path, port: int) -> None:
    """Lines `[images together, repeats, request body's file]` -> `[seconds of each repeat]`."""
    model, runtime = ServedModel(folder), our_runtime(folder)
    print("ready", flush=True)
    for line in sys.stdin:
        together, repeats, file = json.loads(line)
        instances = json.loads(Path(file).read_bytes())["instances"] * together
        times = []
        for _ in range(repeats):
            began = time.perf_counter()
            arrays, _ = model.decode(instances)
            runtime.run(model.predict.batch(arrays))
            times.append(time.perf_counter() - began)
        print(json.dumps(times), flush=True)


def eager(folder: Path, port: int) -> None:
    """Lines `request body's file` -> the answers of the network in PyTorch, as JSON."""
    model, network = ServedModel(folder), Eager(folder)
    print("ready", flush=True)
    for line in sys.stdin:
        request = json.loads(Path(json.loads(line)).read_bytes())
        arrays, sizes = model.decode(request["instances"])
        outputs = network.run(model.predict.batch(arrays))
        answers = model.predict.postprocess(outputs, sizes, model.manifest, request.get("parameters", {}))
        print(orjson.dumps(model.predict.body(answers), option=orjson.OPT_SERIALIZE_NUMPY).decode(), flush=True)


def web(folder: Path, port: int) -> None:
    """The stage URL of an open endpoint, its calls counted but written nowhere."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "console.settings")
    import django
    import uvicorn

    django.setup()
    from endpoints import statistics
    from endpoints.http import QuickProtocol
    from endpoints.invoke import StageApplication

    resource = {"id": "r", "path": "/inference", "model": "model", "sockets": [str(folder / "engine.sock")]}
    stage = {"id": "s", "keep_images": False, "resources": [resource]}
    endpoint = {"access": "open", "default": "default", "keys": {}, "stages": {"default": stage}, "rollout": None}
    table = folder / "routes.json"
    table.write_text(json.dumps({"version": 1, "endpoints": {"bench": endpoint}}))
    application = StageApplication(table, statistics.Recorder(lambda calls: None))
    uvicorn.run(application, host="127.0.0.1", port=port, http=QuickProtocol, access_log=False, log_level="warning")


class Eager:
    """The network in PyTorch, in evaluation mode, as `runtimes` has it: arrays in, arrays out."""

    def __init__(self, folder: Path) -> None:
        import torch

        from models_registry.network import load_network

        self._torch = torch
        self._network = load_network(folder, json.loads((folder / "model.json").read_text())["algorithm"])

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        with self._torch.inference_mode():
            outputs = self._network(*map(self._torch.from_numpy, inputs.values()))
        return {name: value.numpy() for name, value in zip(self._network.output_names, outputs, strict=True)}


def litserve(folder: Path, port: int, *, eager: bool, stock: bool = False) -> None:
    import litserve

    from benchmarks.serving_litserve import ModelApi, StockApi

    kind = StockApi if stock else ModelApi
    api = kind(folder, eager, max_batch_size=LITSERVE_BATCH, batch_timeout=LITSERVE_TIMEOUT, api_path="/inference")
    server = litserve.LitServer(api, accelerator="cpu", timeout=300)
    server.run(host="127.0.0.1", port=port, log_level="warning", generate_client_file=False)


def fastapi(folder: Path, port: int) -> None:
    import base64
    import io

    import uvicorn
    from fastapi import FastAPI
    from PIL import Image

    pipe, write = pipeline(folder)
    app = FastAPI()

    @app.post("/inference")
    def inference(body: dict[str, Any]) -> Any:
        images = [Image.open(io.BytesIO(base64.b64decode(entry["data"]))) for entry in body["instances"]]
        return write(pipe(images))

    uvicorn.run(app, host="127.0.0.1", port=port, access_log=False, log_level="warning")


def image_processor(manifest: dict[str, Any]) -> Any:
    """transformers' image processor for what the model was trained on."""
    import transformers

    given = manifest["preprocessing"]
    norm = {"image_mean": given["mean"], "image_std": given["std"]}
    if manifest["algorithm"] == "image_classification":
        side = given["input_size"]
        return transformers.ViTImageProcessorPil(size={"height": side, "width": side}, **norm)
    if manifest["algorithm"] == "semantic_segmentation":
        return transformers.SegformerImageProcessorPil(size={"height": 512, "width": 512}, **norm)
    size = {"shortest_edge": given["shortest"], "longest_edge": given["longest"]}
    return transformers.DetrImageProcessorPil(size=size, **norm)


def pipeline(folder: Path) -> tuple[Any, Any]:
    """The transformers pipeline of a model folder, and what makes JSON of its answers."""
    import transformers

    manifest = json.loads((folder / "model.json").read_text())
    processor = image_processor(manifest)
    pipe: Any
    if manifest["algorithm"] == "image_classification":
        pipe = transformers.pipeline("image-classification", model=str(folder), image_processor=processor, top_k=None)
        return pipe, lambda answers: answers
    if manifest["algorithm"] == "semantic_segmentation":
        return transformers.pipeline("image-segmentation", model=str(folder), image_processor=processor), _masks
    pipe = transformers.pipeline("object-detection", model=str(folder), image_processor=processor)
    return pipe, lambda answers: {"predictions": answers}


def _masks(answers: list[list[dict[str, Any]]]) -> dict[str, Any]:
    """One array of class ids an image, of the pipeline's mask a class; its masks have the image's size."""
    predictions = []
    for found in answers:
        ids = np.zeros(found[0]["mask"].size[::-1], dtype=np.uint8)
        for number, entry in enumerate(found):
            ids[np.asarray(entry["mask"]) > 0] = number
        predictions.append(ids.tolist())
    return {"predictions": predictions}


KINDS = {
    "floor": floor,
    "eager": eager,
    "web": web,
    "litserve-eager": lambda folder, port: litserve(folder, port, eager=True, stock=True),
    "litserve-decoder": lambda folder, port: litserve(folder, port, eager=True),
    "litserve-runtime": lambda folder, port: litserve(folder, port, eager=False),
    "fastapi": fastapi,
}

if __name__ == "__main__":
    KINDS[sys.argv[1]](Path(sys.argv[2]), int(sys.argv[3]))
