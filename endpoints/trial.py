"""A call of a stage by a member of its project, from the stage page: no key is needed, all else is as for any call."""

import http.client
import json
import time

from django.conf import settings
from django.utils import timezone

from endpoints import routes, statistics
from endpoints.models import StageResource
from endpoints.processes import UnixConnection

UNAVAILABLE = {"error": {"code": "unavailable", "message": "The model is not ready to answer. Try again shortly."}}


def resource_try(*, resource: StageResource, body: bytes) -> tuple[int, bytes]:
    """POST `body` to the resource's path. -> (HTTP status, body of the answer); counted in the stage's statistics."""
    began = time.monotonic()
    status, answer = _ask(resource, body)
    call = statistics.Call(
        stage_id=resource.stage_id,
        at=timezone.now(),
        path=resource.path,
        status=status,
        milliseconds=(time.monotonic() - began) * 1000,
        bytes_in=len(body),
        bytes_out=len(answer),
        error=_error(answer) if status >= 400 else "",
    )
    statistics.write([call])
    return status, answer


def _ask(resource: StageResource, body: bytes) -> tuple[int, bytes]:
    connection = UnixConnection(routes.socket_path(resource.pk), settings.STAGE_TIMEOUT_SECONDS)
    try:
        connection.request("POST", resource.path, body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        return response.status, response.read()
    except (OSError, http.client.HTTPException):
        return 503, json.dumps(UNAVAILABLE).encode()  # no engine listens, or it went away under the call
    finally:
        connection.close()


def _error(answer: bytes) -> str:
    try:
        return str(json.loads(answer)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return ""
