"""The wire protocols: thin adapters over one data plane. What a path means is one line in `routes`.

- the guide's: POST the resource path or the bare URL; KServe V1: the same body, `{"predictions": [...]}` back
  (https://kserve.github.io/website/docs/concepts/architecture/data-plane/v1-protocol);
- the health and metadata routes of V1 and of the Open Inference Protocol, V2
  (https://github.com/kserve/open-inference-protocol).
"""

import os
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import orjson

from endpoints.engine.bodies import Request, need_json
from endpoints.engine.errors import InvalidInstances, InvalidParameter, NotJson
from endpoints.engine.plane import DataPlane


class Route(NamedTuple):
    """What one path answers: `value` always, or what `answer` makes of the model and the request.

    `answer` gives what becomes JSON, or a whole Response. `needs_model`: 503 until the model is loaded.
    """

    method: str
    answer: Callable[[DataPlane, Request], Awaitable[Any]] | None = None
    value: Any = None
    needs_model: bool = True


def parse(body: bytes) -> tuple[list[Any], dict[str, Any]]:
    """The guide's and KServe V1's request -> (instances, parameters). Raises NotJson, InvalidInstances, ..."""
    try:
        request = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise NotJson(f"The body is not JSON: {error}.") from error
    if not isinstance(request, dict):
        raise InvalidInstances("instances", 'The body must be an object: {"instances": [{"data": "<base64>"}]}.')
    instances, parameters = request.get("instances"), request.get("parameters")
    if not isinstance(instances, list) or not instances:
        raise InvalidInstances("instances", "Must be a list of at least one instance.")
    if parameters is not None and not isinstance(parameters, dict):
        raise InvalidParameter("parameters", "Must be an object.")
    return instances, parameters or {}


async def guide(plane: DataPlane, request: Request) -> Any:
    return plane.model.predict.body(await plane.infer(*parse(need_json(request))))


async def v1_predict(plane: DataPlane, request: Request) -> Any:
    return {"predictions": await plane.infer(*parse(need_json(request)))}


async def info(plane: DataPlane, request: Request) -> Any:
    return {**plane.info, "pid": os.getpid()}


def v2_metadata(name: str) -> Callable[[DataPlane, Request], Awaitable[Any]]:
    async def answer(plane: DataPlane, request: Request) -> Any:
        return {"name": name, "versions": ["1"], "platform": plane.info["runtime"], **plane.model.tensors}

    return answer


def routes(name: str, resource: str, version: str) -> dict[str, Route]:
    """Every path below the stage that this engine answers; no path ends in "/"."""
    ready = {"name": name, "ready": True}
    return {
        "": Route("POST", guide),
        resource.rstrip("/"): Route("POST", guide),
        f"/v1/models/{name}/predict": Route("POST", v1_predict),
        f"/v1/models/{name}:predict": Route("POST", v1_predict),
        "/v1/models": Route("GET", value={"models": [name]}),
        f"/v1/models/{name}": Route("GET", value=ready),
        "/v2": Route("GET", value={"name": "console", "version": version, "extensions": []}, needs_model=False),
        "/v2/health/live": Route("GET", value={"live": True}, needs_model=False),
        "/v2/health/ready": Route("GET", value={"ready": True}),
        f"/v2/models/{name}": Route("GET", v2_metadata(name)),
        f"/v2/models/{name}/ready": Route("GET", value=ready),
        "/-/ready": Route("GET", value={"ready": True}),
        "/-/info": Route("GET", info),
    }
