"""From a request's path and headers to the engine that answers it. Reads the route table, never the database."""

import hashlib
import hmac
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from endpoints import routes

KEY_HASH = "sha512$$"  # as rest_framework_api_key.crypto.Sha512ApiKeyHasher writes it


class Refused(Exception):
    """An answer that needs no engine. `code` is for programs, `message` for people."""

    def __init__(self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message
        self.headers = dict(headers or {})


@dataclass(frozen=True, slots=True)
class Target:
    """Where a request goes: a resource's sockets (none while no engine is ready) and the path that they are asked."""

    path: str
    sockets: Sequence[str]
    resource: str


class RouteTable:
    """The newest table of the file, read again when the file is another one than before."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, int, int] | None = None
        self._endpoints: dict[str, Any] = {}

    def endpoint(self, endpoint_id: str) -> dict[str, Any]:
        """Raises Refused (404) for an unknown id."""
        self._refresh()
        found = self._endpoints.get(endpoint_id)
        if found is None:
            raise Refused(404, "not_found", "There is no such endpoint.")
        return found

    def _refresh(self) -> None:
        try:
            stat = os.stat(self._path)
        except FileNotFoundError:
            return  # nothing was published yet, or run/ was emptied: what is known stays true until it is
        seen = (stat.st_mtime_ns, stat.st_ino, stat.st_size)
        if seen == self._seen:
            return
        table = routes.read(self._path)
        if table:
            self._endpoints, self._seen = table["endpoints"], seen


def split(raw_path: str) -> tuple[str, str]:
    """ "/stage/<endpoint id>/rest" (still percent-encoded) -> (endpoint id, "/rest"); no slash at the end."""
    endpoint_id, slash, rest = raw_path.removeprefix("/stage/").partition("/")
    return endpoint_id, (slash + rest).rstrip("/")


def stage_of(endpoint: Mapping[str, Any], rest: str) -> tuple[dict[str, Any], str]:
    """The stage that `rest` begins with, else the default one, and what is left of `rest`. Raises Refused (404)."""
    name, slash, below = rest.removeprefix("/").partition("/")
    if name in endpoint["stages"]:
        return endpoint["stages"][name], (slash + below).rstrip("/")
    stage = endpoint["stages"].get(endpoint["default"])
    if stage is None:
        raise Refused(404, "not_found", "The endpoint has no stage at this address.")
    return stage, rest


def target(stage: Mapping[str, Any], rest: str) -> Target:
    """The resource of the stage that `rest` names; the first one when it is empty. Raises Refused (404)."""
    resource = _resource(stage["resources"], rest)
    return Target(rest or "/", resource["sockets"], resource["id"])


def counterpart(stage: Mapping[str, Any], rest: str, other: Mapping[str, Any]) -> Target | None:
    """What the same request goes to on another stage of the endpoint: the resource of the same path, under its own
    model's name. None when that stage has nothing under the path."""
    asked = _resource(stage["resources"], rest)
    found = next((r for r in other["resources"] if r["path"] == asked["path"]), None)
    if found is None:
        return None
    parts = rest.split("/")
    if len(parts) > 3 and parts[2] == "models":
        name, verb = unquote(parts[3]), ""
        if name != asked["model"]:
            name, colon, verb = name.rpartition(":")
            verb = colon + verb
        if name == asked["model"]:
            parts[3] = quote(found["model"], safe="") + verb
    return Target("/".join(parts) or "/", found["sockets"], found["id"])


def models_listed(stage: Mapping[str, Any], rest: str) -> list[str] | None:
    """The names for a path that lists models, of a stage that has several: one engine knows its own only. Else None."""
    resources = stage["resources"]
    return [r["model"] for r in resources] if rest in {"/v1/models", "/v2/models"} and len(resources) > 1 else None


def _resource(resources: list[dict[str, Any]], rest: str) -> dict[str, Any]:
    first = rest.split("/")[1] if rest else ""
    if not rest:
        return resources[0]
    if rest == "/v2/health/ready":  # of the whole stage
        return min(resources, key=lambda r: bool(r["sockets"]))
    if first in {"v1", "v2"}:
        return _of_model(resources, rest) or resources[0]
    fitting = [r for r in resources if rest == r["path"] or rest.startswith(r["path"] + "/")]
    if not fitting:
        known = ", ".join(r["path"] for r in resources)
        raise Refused(404, "not_found", f"The stage has nothing under {unquote(rest)}. Its resources: {known}.")
    return max(fitting, key=lambda r: len(r["path"]))


def _of_model(resources: list[dict[str, Any]], rest: str) -> dict[str, Any] | None:
    """/v1/models/<name>, /v1/models/<name>:predict and whatever is below them."""
    parts = rest.split("/")
    if len(parts) < 4 or parts[2] != "models":
        return None
    name = unquote(parts[3])
    wanted = (name, name.rpartition(":")[0])
    return next((r for candidate in wanted for r in resources if r["model"] == candidate), None)


def check_key(endpoint: Mapping[str, Any], headers: Mapping[bytes, bytes]) -> str:
    """-> the prefix of the key that was sent, "" for an open endpoint. Raises Refused (401 without key, else 403)."""
    if endpoint["access"] == "open":
        return ""
    key = headers.get(b"x-api-key", b"").strip()
    scheme, _, token = headers.get(b"authorization", b"").partition(b" ")
    if scheme.lower() == b"bearer" and token.strip():
        key = token.strip()
    if not key:
        text = 'This endpoint needs a key: send "Authorization: Bearer <key>" or "X-API-Key: <key>".'
        raise Refused(401, "key_missing", text, {"WWW-Authenticate": "Bearer"})
    prefix = key.partition(b".")[0].decode("latin-1")
    known = endpoint["keys"].get(prefix, {"hash": "", "expires": None})
    right = hmac.compare_digest(KEY_HASH + hashlib.sha512(key).hexdigest(), known["hash"])
    if not right or (known["expires"] is not None and known["expires"] < time.time()):
        raise Refused(403, "key_refused", "The key is not, or no longer, one of this endpoint's.")
    return prefix
