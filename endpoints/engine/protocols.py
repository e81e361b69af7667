"""The wire protocols: thin adapters over one data plane. What a path means is one line in `routes`.

- the guide's: POST the resource path or the bare URL; JSON, a form or an image file as it is (`bodies`);
- KServe V1: the guide's JSON, `{"predictions": [...]}` back
  (https://kserve.github.io/website/docs/concepts/architecture/data-plane/v1-protocol);
- the Open Inference Protocol, V2 (`open_inference`).
"""

import os
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, NamedTuple

from endpoints.engine import bodies, open_inference
from endpoints.engine.bodies import Call, Request
from endpoints.engine.plane import DataPlane, memory_mb

Answer = Callable[[DataPlane, Request], Awaitable[Any]]


class Route(NamedTuple):
    """What one path answers: `value` always, or what `answer` makes of the model and the request.

    `answer` gives what becomes JSON, or a whole Response. With both, `value` is for GET, `answer` for POST.
    `needs_model`: 503 until the model is loaded.
    """

    methods: tuple[str, ...]
    answer: Answer | None = None
    value: Any = None
    needs_model: bool = True


def get(value: Any = None, answer: Answer | None = None, *, needs_model: bool = True) -> Route:
    return Route(("GET",), answer, value, needs_model)


def post(answer: Answer) -> Route:
    return Route(("POST",), answer)


async def read(plane: DataPlane, reader: Callable[[Request], Call], request: Request) -> Call:
    return reader(request) if request.is_small_work else await plane.in_pool(reader, request)


async def guide(plane: DataPlane, request: Request) -> Any:
    return plane.model.predict.body(await plane.infer(*await read(plane, bodies.read_any, request)))


async def v1_predict(plane: DataPlane, request: Request) -> Any:
    return {"predictions": await plane.infer(*await read(plane, bodies.read_json, request))}


async def info(plane: DataPlane, request: Request) -> Any:
    return {**plane.info, "pid": os.getpid(), "memory_mb": memory_mb()}


async def v2_metadata(name: str, plane: DataPlane, request: Request) -> Any:
    tensors = open_inference.metadata(plane.model)
    return {"name": name, "versions": [open_inference.VERSION], "platform": plane.info["runtime"], **tensors}


def routes(name: str, resource: str, version: str) -> dict[str, Route]:
    """Every path below the stage that this engine answers; no path ends in "/"."""
    return {
        "": Route(("GET", "POST"), guide, {"status": "alive"}),  # what KServe's V1 client asks a server
        resource.rstrip("/"): post(guide),
        **v1_routes(name),
        **v2_routes(name, version),
        "/-/ready": get({"ready": True}),
        "/-/info": get(answer=info),
    }


def v1_routes(name: str) -> dict[str, Route]:
    return {
        "/v1/models": get({"models": [name]}),
        f"/v1/models/{name}": get({"name": name, "ready": True}),
        f"/v1/models/{name}/predict": post(v1_predict),
        f"/v1/models/{name}:predict": post(v1_predict),
    }


def v2_routes(name: str, version: str) -> dict[str, Route]:
    server = {"name": "console", "version": version, "extensions": ["binary_tensor_data"]}
    routes = {
        "/v2": get(server, needs_model=False),
        "/v2/health/live": get({"live": True}, needs_model=False),
        "/v2/health/ready": get({"ready": True}),
        "/v2/models": get({"models": [name]}),
    }
    for model in (f"/v2/models/{name}", f"/v2/models/{name}/versions/{open_inference.VERSION}"):
        routes[model] = get(answer=partial(v2_metadata, name))
        routes[f"{model}/ready"] = get({"name": name, "ready": True})
        routes[f"{model}/infer"] = post(partial(open_inference.infer, name))
    return routes
