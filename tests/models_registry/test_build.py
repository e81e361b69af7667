"""A worker builds the model: files, manifest, report; and what happens when it cannot."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from ctypes import c_bool
from datetime import timedelta
from multiprocessing import RawValue

import psutil
import pytest
from django.utils import timezone
from django_q.models import OrmQ

from models_registry import artifacts, build, reconcile
from models_registry.models import Model
from tests.runs import ROOT
from training import shutdown
from training.algorithms.base import Message
from training.models import Event

FILES = ["config.json", "export_report.json", "model.json", "model.onnx", "model.safetensors"]


@pytest.fixture
def ordered(training) -> Model:
    return Model.objects.create(project=training.project, name="signs", training=training, algorithm=training.algorithm)


def test_built_model_is_complete_and_cannot_be_changed(trained_training, ordered):
    build.temporary(ordered).mkdir(parents=True)  # what a worker that was killed left behind
    (build.temporary(ordered) / "half.bin").write_bytes(b"half")
    build.build(ordered.pk)
    ordered.refresh_from_db()
    assert ordered.status == "ACTIVE", ordered.status_reason
    assert [file["name"] for file in ordered.files] == FILES
    assert {path.name for path in ordered.folder.iterdir()} == {*FILES, "SHA256SUMS"}
    assert artifacts.verify(ordered.folder) == []
    assert not build.temporary(ordered).exists()
    assert oct(ordered.folder.stat().st_mode)[-3:] == "555"
    for file in ordered.files:
        content = (ordered.folder / file["name"]).read_bytes()
        assert (file["bytes"], file["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
    trained = json.loads((trained_training.folder / "model" / "model.json").read_text())
    manifest = json.loads((ordered.folder / "model.json").read_text())
    assert {key: manifest[key] for key in trained} == trained
    source = {"id": trained_training.dataset_id, "name": "shapes", "version": 1, "sha256": "ab" * 32}
    assert manifest["dataset"] == source
    assert (manifest["id"], manifest["training"]["id"]) == (ordered.pk, trained_training.pk)
    assert (ordered.labels, ordered.metrics) == (trained["labels"], trained["metrics"])
    assert ordered.export_report == json.loads((ordered.folder / "export_report.json").read_text())
    assert ordered.export_report["images"] == 4
    statuses = Event.objects.filter(object_id=ordered.pk).order_by("id").values_list("to_status", flat=True)
    assert list(statuses) == ["CREATE_IN_PROGRESS", "ACTIVE"]
    before = ordered.folder.stat().st_mtime_ns
    build.build(ordered.pk)  # delivered twice
    assert ordered.folder.stat().st_mtime_ns == before


def nothing_left(model: Model) -> bool:
    return not model.folder.exists() and not build.temporary(model).exists()


def test_training_without_files_fails_with_its_reason(ordered):
    build.build(ordered.pk)
    ordered.refresh_from_db()
    assert ordered.status == "CREATE_FAILED"
    assert "gone from the disk" in ordered.status_reason["text"]
    assert nothing_left(ordered)


def test_failed_export_gives_the_reason_and_leaves_nothing(trained_training, ordered):
    (trained_training.folder / "model" / "model.safetensors").write_bytes(b"nothing")
    build.build(ordered.pk)
    ordered.refresh_from_db()
    assert ordered.status == "CREATE_FAILED"
    assert ordered.status_reason["params"]["detail"]
    assert nothing_left(ordered)


def test_export_that_takes_too_long_is_ended_with_all_its_processes(trained_training, ordered):
    artifacts.copy_folder(trained_training.folder / "model", build.temporary(ordered))
    with pytest.raises(build.BuildFailed, match="longer"):
        build.run_export(build.temporary(ordered), "", seconds=0.5)
    assert not exports_running(ordered)


def exports_running(model: Model) -> list[int]:
    rows = [(process.pid, process.info["cmdline"] or []) for process in psutil.process_iter(["cmdline"])]
    return [pid for pid, command in rows if str(build.temporary(model)) in command]


def killed_during_the_export(model: Model) -> Model:
    """Build it, with SIGKILL to the export as soon as that has begun to write into its folder."""
    done = threading.Event()

    def kill() -> None:
        while not done.is_set():
            for pid in exports_running(model):
                os.kill(pid, signal.SIGKILL)
                return
            time.sleep(0.02)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        build.build(model.pk)
    finally:
        done.set()
        killer.join()
    model.refresh_from_db()
    return model


def reason(model: Model) -> str:
    return str(Message.from_json(model.status_reason))


def test_an_export_that_was_killed_is_tried_again(trained_training, ordered, django_capture_on_commit_callbacks):
    killed_during_the_export(ordered)
    assert ordered.status == "CREATE_REQUESTED"
    assert "killed" in reason(ordered)
    assert "2 of at most 3" in reason(ordered)
    assert nothing_left(ordered)
    with django_capture_on_commit_callbacks(execute=True):
        reconcile.reconcile()
    assert queued() == []  # it gets a moment: what was short of memory may be so still
    Model.objects.update(lease_until=timezone.now())
    with django_capture_on_commit_callbacks(execute=True):
        reconcile.reconcile()
    assert queued() == [ordered.pk]
    build.build(ordered.pk)
    ordered.refresh_from_db()
    assert (ordered.status, ordered.status_reason) == ("ACTIVE", None)
    assert artifacts.verify(ordered.folder) == []


def test_an_export_that_is_killed_each_time_is_given_up_with_the_true_reason(trained_training, ordered):
    for status in ("CREATE_REQUESTED", "CREATE_REQUESTED", "CREATE_FAILED"):
        assert killed_during_the_export(ordered).status == status
    assert "too little memory" in reason(ordered)
    assert "3 times" in reason(ordered)
    assert nothing_left(ordered)
    build.build(ordered.pk)  # delivered once more
    ordered.refresh_from_db()
    assert ordered.status == "CREATE_FAILED"


def test_a_build_that_ends_its_worker_each_time_is_given_up(ordered, builder, django_capture_on_commit_callbacks):
    build.temporary(ordered).mkdir(parents=True)
    Model.objects.update(attempts=3)
    builder.kill()
    builder.wait()
    with django_capture_on_commit_callbacks(execute=True):
        reconcile.reconcile()
    ordered.refresh_from_db()
    assert ordered.status == "CREATE_FAILED"
    assert "worker ended" in reason(ordered)
    assert "3 times" in reason(ordered)
    assert queued() == []
    assert nothing_left(ordered)


def test_the_shutdown_of_the_worker_ends_an_export_and_is_no_attempt(trained_training, ordered, monkeypatch):
    monkeypatch.setattr(shutdown, "_requested", RawValue(c_bool, True))
    build.build(ordered.pk)
    ordered.refresh_from_db()
    assert (ordered.status, ordered.attempts) == ("CREATE_REQUESTED", 0)
    assert "shut down" in reason(ordered)
    assert not exports_running(ordered)
    assert nothing_left(ordered)


def test_an_export_that_a_killed_worker_left_does_not_write_into_the_next_build(trained_training, ordered):
    """It would end by itself, but later than another worker begins."""
    folder = build.temporary(ordered)
    artifacts.copy_folder(trained_training.folder / "model", folder)
    command = [sys.executable, "-m", "models_registry.export", str(folder), ""]
    left = subprocess.Popen(command, cwd=ROOT, start_new_session=True)
    build.build(ordered.pk)
    assert left.wait(0) == -signal.SIGKILL
    ordered.refresh_from_db()
    assert ordered.status == "ACTIVE"


def queued() -> list[str]:
    return [task.task["args"][0] for task in OrmQ.objects.all()]


BUILDER = """
import sys, time
from pathlib import Path
from training.locks import file_lock
with file_lock(Path(sys.argv[1]), wait=False):
    print("holds it", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def builder(ordered):
    """A process that holds the lock of `ordered`, as a worker does while it builds."""
    Model.objects.update(status="CREATE_IN_PROGRESS")
    command = [sys.executable, "-c", BUILDER, str(ordered.folder.with_suffix(".lock"))]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"holds it\n"
    yield process
    process.kill()


@pytest.mark.parametrize("take_up", [reconcile.reconcile, reconcile.start_over])
def test_build_is_ordered_again_once_its_worker_is_gone(ordered, builder, take_up, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        take_up()
    ordered.refresh_from_db()
    assert (ordered.status, queued()) == ("CREATE_IN_PROGRESS", [])
    builder.kill()
    builder.wait()
    with django_capture_on_commit_callbacks(execute=True):
        take_up()
        reconcile.reconcile()
    ordered.refresh_from_db()
    assert ordered.status == "CREATE_REQUESTED"
    assert set(queued()) == {ordered.pk}


def test_a_model_that_another_worker_builds_is_left_alone(trained_training, ordered, builder):
    Model.objects.update(status="CREATE_REQUESTED")
    build.build(ordered.pk)
    ordered.refresh_from_db()
    assert ordered.status == "CREATE_REQUESTED"
    assert nothing_left(ordered)


def test_order_that_the_queue_lost_is_queued_again_but_a_fresh_one_is_not(ordered, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        reconcile.reconcile()
    assert queued() == []
    Model.objects.update(created_at=timezone.now() - timedelta(minutes=10))
    with django_capture_on_commit_callbacks(execute=True):
        reconcile.reconcile()
        reconcile.reconcile()
    assert queued() == [ordered.pk]


def test_deletion_that_was_interrupted_is_ended(ordered):
    ordered.folder.mkdir(parents=True)
    Model.objects.update(status="DELETE_IN_PROGRESS")
    reconcile.reconcile()
    assert not Model.objects.exists()
    assert not ordered.folder.exists()
