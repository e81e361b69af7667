"""A call of a stage by a member of its project, from the stage page: no key is needed, all else is as for any call."""

import http.client
import json
import logging
import random
import time
from pathlib import Path

from django.conf import settings
from django.utils import timezone

from endpoints import routes, statistics
from endpoints.models import StageResource
from endpoints.processes import UnixConnection

log = logging.getLogger(__name__)

UNAVAILABLE = {"error": {"code": "unavailable", "message": "The model is not ready to answer. Try again shortly."}}


def resource_try(*, resource: StageResource, body: bytes) -> tuple[int, bytes]:
    """POST `body` to the resource's path. -> (HTTP status, body of the answer); counted in the stage's statistics."""
    began = time.monotonic()
    status, answer, batch_size = _ask(resource, body)
    call = statistics.Call(
        stage_id=resource.stage_id,
        at=timezone.now(),
        path=resource.path,
        status=status,
        milliseconds=(time.monotonic() - began) * 1000,
        bytes_in=len(body),
        bytes_out=len(answer),
        error=_error(answer) if status >= 400 else "",
        batch_size=batch_size,
        body=body if resource.stage.keep_images else b"",
        content_type="application/json",
    )
    statistics.write([call])
    return status, answer


def _ask(resource: StageResource, body: bytes) -> tuple[int, bytes, int | None]:
    """-> (HTTP status, body of the answer, images that were computed together).

    Of an engine that goes away under the call, another one takes it over: inference changes nothing.
    """
    sockets = [routes.engines_folder() / name for name in resource.sockets]
    for path in random.sample(sockets, len(sockets)):
        try:
            return _post(path, resource.path, body)
        except (OSError, http.client.HTTPException):
            log.info("The engine on %s went away during a trial", path)
    return 503, json.dumps(UNAVAILABLE).encode(), None


def _post(socket: Path, path: str, body: bytes) -> tuple[int, bytes, int | None]:
    """Raises OSError, HTTPException when no engine listens, or it goes away under the call."""
    connection = UnixConnection(socket, settings.STAGE_TIMEOUT_SECONDS)
    try:
        connection.request("POST", path, body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        together = response.headers.get("x-batch-size", "")
        return response.status, response.read(), int(together) if together.isdigit() else None
    finally:
        connection.close()


def _error(answer: bytes) -> str:
    try:
        return str(json.loads(answer)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return ""
