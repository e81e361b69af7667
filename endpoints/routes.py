"""The route table: what the web process needs to know to answer a stage URL, in one file.

Services write it when a change commits, the supervisor when an engine becomes ready or stops. The web
process reads the file again when it changes, so that no request touches the database.
"""

import fcntl
import hashlib
import json
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db.models import Prefetch

from endpoints.models import Endpoint, EndpointKey, Rollout, Stage, StageResource

SOCKET_PATH_BYTES = 99  # the kernel's limit is 107 on Linux, 103 on macOS; ".new" comes behind it for a moment
LONGEST_SOCKET_NAME = 20 + len("-99999-999.sock")


def table_path() -> Path:
    return Path(settings.RUN_FOLDER) / "routes.json"


def engines_folder() -> Path:
    """Where the engines' sockets are: run/engines, or a short folder when that is too deep for a socket's path."""
    folder = Path(settings.RUN_FOLDER) / "engines"
    if len(os.fsencode(folder)) + len("/") + LONGEST_SOCKET_NAME <= SOCKET_PATH_BYTES:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder
    digest = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    short = Path(tempfile.gettempdir()) / f"console-{os.getuid()}-{digest}"
    short.mkdir(mode=0o700, exist_ok=True)
    found = short.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise PermissionError(f"{short} must be a folder that only its owner may use.")
    return short


def socket_path(resource_id: str, deployment: int = 1, replica: int = 0) -> Path:
    """Deployment 0: an engine of a console that did not count them yet."""
    numbers = f"-{deployment}-{replica}" if deployment else ""
    return engines_folder() / f"{resource_id}{numbers}.sock"


def publish() -> None:
    """Write the table anew when it says something else than the database.

    The lock is held while the database is read: of two publishers, the later one has seen both changes.
    """
    with _lock():
        path = table_path()
        endpoints = _endpoints()
        old = read(path)
        if old and old["endpoints"] == endpoints:
            return
        table = {"version": old.get("version", 0) + 1, "endpoints": endpoints}
        new = path.with_suffix(".new")
        new.touch(mode=0o600)
        new.write_text(json.dumps(table))
        new.replace(path)


def read(path: Path) -> dict[str, Any]:
    """The table in the file; {} when there is none or it was cut off by a power failure."""
    try:
        return json.loads(path.read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return {}


@contextmanager
def _lock() -> Iterator[None]:
    folder = Path(settings.RUN_FOLDER)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "routes.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _endpoints() -> dict[str, Any]:
    rows = (
        Endpoint.objects.exclude(status=Endpoint.Status.DELETE_IN_PROGRESS)
        .select_related("default_stage")
        .prefetch_related(
            Prefetch("keys", EndpointKey.objects.filter(revoked=False)),
            Prefetch("stages", Stage.objects.exclude(status=Stage.Status.DELETE_IN_PROGRESS)),
            Prefetch("stages__resources", StageResource.objects.select_related("model")),
            Prefetch("rollouts", Rollout.objects.filter(status=Rollout.Status.RUNNING).select_related("stage")),
        )
    )
    return {row.pk: _endpoint(row) for row in rows}


def _endpoint(row: Endpoint) -> dict[str, Any]:
    """docs/contracts.md has the format."""
    return {
        "access": row.access,
        "keys": {key.prefix: _key(key) for key in row.keys.all()},
        "default": row.default_stage.name if row.default_stage else "",
        "stages": {stage.name: _stage(stage) for stage in row.stages.all()},
        "rollout": next(map(_rollout, row.rollouts.all()), None),
    }


def _key(row: EndpointKey) -> dict[str, Any]:
    """The web process itself looks whether the key has expired: nothing changes in the database at that moment."""
    expires = row.expiry_date.timestamp() if row.expiry_date else None
    return {"hash": row.hashed_key, "expires": expires, "calls_per_minute": row.calls_per_minute}


def _stage(row: Stage) -> dict[str, Any]:
    resources = [_resource(resource) for resource in row.resources.all()]
    return {"id": row.pk, "keep_images": row.keep_images, "resources": resources}


def _resource(row: StageResource) -> dict[str, Any]:
    """Without sockets while no engine of it is ready."""
    sockets = [str(engines_folder() / name) for name in row.sockets]
    return {"id": row.pk, "path": row.path, "model": row.model.name, "sockets": sockets}


def _rollout(row: Rollout) -> dict[str, Any]:
    return {"id": row.pk, "stage": row.stage.name, "mode": row.mode, "share": row.share}
