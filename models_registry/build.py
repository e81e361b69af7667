"""Builds a model's folder from its training's, in a worker. May be killed anywhere and started again.

Everything is made in models/<id>.tmp/ and renamed at the end. The worker holds a lock while it builds: when it
dies, the kernel frees the lock and `reconcile` gives the work to another. A build whose worker or export was killed is
tried again, ATTEMPTS times in all; one that came to its own end is not.
"""

import json
import logging
import os
import subprocess
import sys
import time
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.utils import timezone

from models_registry import artifacts
from models_registry.models import Model
from training import disk, lifecycle, shutdown
from training.algorithms.base import Message, gettext_noop
from training.locks import file_lock
from training.processes import ProcessId, kill_session, leaders_running

log = logging.getLogger(__name__)

EXPORT = ["-m", "models_registry.export"]
EXPORT_SECONDS = 1800
POLL_SECONDS = 0.1
ATTEMPTS = 3
RETRY_SECONDS = 10  # what was short of memory may have it then


class BuildFailed(Exception):
    def __init__(self, message: Message) -> None:
        super().__init__(str(message))
        self.message = message


class Killed(Exception):
    """The build did not come to its own end: it may come through another time. `counts`: as one of the ATTEMPTS."""

    def __init__(self, message: Message, *, counts: bool = True) -> None:
        super().__init__(str(message))
        self.message = message
        self.counts = counts


def locked(model: Model) -> AbstractContextManager[bool]:
    """Hold the lock of whoever builds `model`; it is gone with that process. Yields False when another has it."""
    return file_lock(model.folder.with_suffix(".lock"), wait=False)


def build(model_id: str) -> None:
    """CREATE_REQUESTED -> ACTIVE or CREATE_FAILED. Does nothing when the model is not, or no longer, ordered."""
    ordered = Model.objects.select_related("training__dataset").filter(status=Model.Status.CREATE_REQUESTED)
    model = ordered.filter(pk=model_id).first()
    if model is None:
        return
    with locked(model) as mine:
        begun = model.attempts + 1
        if not mine or not lifecycle.move(model, Model.Status.CREATE_IN_PROGRESS, lease_until=None, attempts=begun):
            return
        _build(model)
        if model.status != Model.Status.CREATE_REQUESTED:
            model.folder.with_suffix(".lock").unlink()  # whoever opened it meanwhile finds the model built


def _build(model: Model) -> None:
    try:
        lifecycle.move(model, Model.Status.ACTIVE, **make_folder(model))
    except BuildFailed as error:
        fail(model, error.message)
    except Killed as error:
        again(model, error)
    except OSError as error:
        log.exception("Model %s", model.pk)
        text = gettext_noop("The model's files could not be written: %(detail)s")
        fail(model, Message(text, {"detail": disk.reason(error) or error.strerror or str(error)}))
    except Exception as error:
        log.exception("Model %s", model.pk)
        text = gettext_noop("The model could not be made: %(detail)s")
        fail(model, Message(text, {"detail": f"{type(error).__name__}: {error}"}))


def fail(model: Model, reason: Message) -> None:
    """CREATE_FAILED with its reason, and no file left."""
    for folder in (temporary(model), model.folder):
        artifacts.remove(folder)
    lifecycle.move(model, Model.Status.CREATE_FAILED, reason=reason)


def again(model: Model, end: Killed) -> None:
    """Back into the queue with no file left, to be built in a while; CREATE_FAILED after the last attempt.

    For whoever holds the lock of a model that is CREATE_IN_PROGRESS.
    """
    if end.counts and model.attempts >= ATTEMPTS:
        text = gettext_noop("%(why)s It was tried %(count)s times.")
        fail(model, Message(text, {"why": end.message, "count": model.attempts}))
        return
    for folder in (temporary(model), model.folder):
        artifacts.remove(folder)
    attempts = model.attempts if end.counts else model.attempts - 1
    text = gettext_noop("%(why)s It is tried again (attempt %(next)s of at most %(most)s).")
    reason = Message(text, {"why": end.message, "next": attempts + 1, "most": ATTEMPTS}) if end.counts else end.message
    fields = {"attempts": attempts, "lease_until": in_a_while(RETRY_SECONDS)}
    lifecycle.move(model, Model.Status.CREATE_REQUESTED, reason=reason, **fields)


def in_a_while(seconds: float) -> datetime:
    """Until when `reconcile` leaves an order alone."""
    return timezone.now() + timedelta(seconds=seconds)


def temporary(model: Model) -> Path:
    return model.folder.with_suffix(".tmp")


def make_folder(model: Model) -> dict[str, Any]:
    """Make models/<id>/. -> the fields of the row that come from it. Raises BuildFailed, Killed, OSError."""
    source, folder = model.training.folder / "model", temporary(model)
    if not (source / "model.json").is_file():
        raise BuildFailed(Message(gettext_noop("The training's files are gone from the disk.")))
    for stray in leaders_running([*EXPORT, str(folder)]):  # a killed worker's: it ends by itself, but not at once
        kill_session(stray)
    for leftover in (folder, model.folder):
        artifacts.remove(leftover)
    artifacts.copy_folder(source, folder)
    manifest = describe(model, json.loads((folder / "model.json").read_text(encoding="utf-8")))
    (folder / "model.json").write_text(json.dumps(manifest, indent=2, ensure_ascii=False), encoding="utf-8")
    run_export(folder, dataset_folder(model))
    files = artifacts.seal(folder)
    artifacts.publish(folder, model.folder)
    return {
        "labels": manifest["labels"],
        "metrics": manifest.get("metrics") or {},
        "test_metrics": manifest.get("test_metrics"),
        "files": files,
        "disk_bytes": sum(file["bytes"] for file in files),
        "export_report": json.loads((model.folder / "export_report.json").read_text()),
    }


def describe(model: Model, manifest: dict[str, Any]) -> dict[str, Any]:
    """The trainer's model.json, and where it comes from."""
    training, dataset = model.training, model.training.dataset
    return {
        **manifest,
        "id": model.pk,
        "name": model.name,
        "dataset": {
            "id": dataset.pk if dataset else None,
            "name": training.dataset_name,
            "version": dataset.version if dataset else None,
            "sha256": dataset.zip_sha256 if dataset else None,
        },
        "training": {"id": training.pk, "name": training.name, "initial_weights": training.initial_weights},
        "created_at": model.created_at.isoformat(),
    }


def dataset_folder(model: Model) -> str:
    """Where the parity check's images are; "" when the dataset has been deleted."""
    dataset = model.training.dataset
    return str(dataset.data_folder) if dataset and dataset.data_folder.is_dir() else ""


def run_export(folder: Path, dataset: str, *, seconds: float = EXPORT_SECONDS) -> None:
    """Run models_registry.export on `folder`, in a process of its own. Raises BuildFailed, Killed."""
    log_path = folder / "export.log"
    with log_path.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *EXPORT, str(folder), dataset],
            cwd=settings.BASE_DIR,
            # Its threads hardly spin while they wait: it shares the cores with trainer and engines (see the trainer).
            env={"GOMP_SPINCOUNT": "1000", **os.environ, "HF_HUB_OFFLINE": "1", "EXPORT_WORKER": str(os.getpid())},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    leader = ProcessId.of(process.pid)
    try:
        _wait(process, seconds)
    finally:
        if leader:
            kill_session(leader)
        process.wait()
    if process.returncode:
        log.error("The export failed with %s:\n%s", process.returncode, log_path.read_text(errors="replace"))
        reason = export_reason(folder, process.returncode)
        raise Killed(reason) if process.returncode < 0 else BuildFailed(reason)
    log_path.unlink()


def _wait(process: "subprocess.Popen[bytes]", seconds: float) -> None:
    """Until the export has ended. Raises BuildFailed after `seconds`, Killed when this worker is to end."""
    deadline = time.monotonic() + seconds
    while process.poll() is None:
        if shutdown.requested():
            text = gettext_noop("The console was shut down; the model is built when it starts again.")
            raise Killed(Message(text), counts=False)
        if time.monotonic() > deadline:
            text = gettext_noop("The export to ONNX took longer than %(minutes)s minutes.")
            raise BuildFailed(Message(text, {"minutes": f"{seconds / 60:g}"}))
        time.sleep(POLL_SECONDS)


def export_reason(folder: Path, code: int) -> Message:
    """Why the export ended with `code`, for a person."""
    failure = folder / "export_failure.json"
    if failure.exists():
        return Message.from_json(json.loads(failure.read_text()))
    if code == -9:
        return Message(gettext_noop("The export to ONNX was killed: most likely the machine has too little memory."))
    return Message(gettext_noop("The export to ONNX ended unexpectedly (exit code %(code)s)."), {"code": code})
