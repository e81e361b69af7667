"""The job's own TensorBoard, behind the console's login: a real one, asked by HTTP through the proxy."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import psutil
import pytest
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from tests.runs import ROOT
from training import services, tensorboard
from training.models import Training
from training.processes import ProcessId


@pytest.fixture
def training(transactional_db, home, project):
    training = Training.objects.create(
        project=project, name="t", dataset_name="d", algorithm="image_classification", status="STOPPED"
    )
    write_scalar(training, "train/loss", 0.5)
    yield training
    tensorboard.stop(training.pk)


def write_scalar(training: Training, tag: str, value: float) -> None:
    writer = EventFileWriter(str(training.folder / "tensorboard"))
    summary = Summary(value=[Summary.Value(tag=tag, simple_value=value)])
    writer.add_event(Event(wall_time=time.time(), step=1, summary=summary))
    writer.close()


def eventually(condition: Callable[[], object], seconds: float = 30) -> object:
    deadline = time.monotonic() + seconds
    while not (result := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return result


def process_of(training: Training) -> ProcessId:
    state = json.loads((tensorboard._path(training.pk, "json")).read_text())
    return ProcessId(state["pid"], state["started"])


def test_a_member_sees_the_scalars_and_an_outsider_404(training, people, browser_of):
    address = tensorboard.url(training)
    viewer, outsider = browser_of(people.viewer), browser_of(people.outsider)
    assert outsider.get(address).status_code == 404
    assert not tensorboard._path(training.pk, "json").exists()  # nothing was started for the outsider

    began = time.monotonic()
    first = viewer.get(address)
    assert time.monotonic() - began < 2  # the page that waits is quick
    assert (first.status_code, first.headers["Retry-After"]) == (202, "1")
    assert 'http-equiv="refresh"' in first.content.decode()

    page = eventually(lambda: (r := viewer.get(address)).status_code == 200 and r)
    assert "<title>TensorBoard" in page.content.decode()
    eventually(lambda: viewer.get(address + "data/plugin/scalars/tags").json().get("."))
    scalars = viewer.get(address + "data/plugin/scalars/scalars", {"run": ".", "tag": "train/loss"}).json()
    assert [(step, value) for _time, step, value in scalars] == [(1, 0.5)]
    # Time series ask for several tags by POST.
    asked = viewer.post(address + "data/plugin/timeseries/timeSeries", {"requests": "[]"})
    assert asked.status_code == 200
    assert viewer.get(address + "index.js").headers["Content-Type"].startswith("text/javascript")

    for path in ("", "index.js", "data/plugin/scalars/tags"):
        assert outsider.get(address + path).status_code == 404
    assert viewer.get(address.replace(training.project_id, "0" * 20)).status_code == 404


def test_others_on_the_machine_get_nothing_from_the_port(training):
    from http.client import HTTPConnection

    port = tensorboard.ensure(training)
    connection = HTTPConnection("127.0.0.1", port)
    connection.request("GET", "/data/plugin/scalars/tags")
    assert connection.getresponse().status == 404
    secret = tensorboard.server(training).secret
    assert secret not in " ".join(psutil.Process(process_of(training).pid).cmdline())  # which ps shows to everyone


def test_two_requests_start_one_and_it_is_used_again(training):
    found = []
    threads = [threading.Thread(target=lambda: found.append(tensorboard.server(training).process)) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({process.pid for process in found}) == 1
    tensorboard.ensure(training)
    assert process_of(training) == found[0]


def test_it_ends_when_nobody_looks_and_comes_back_when_somebody_does(training, settings):
    settings.TENSORBOARD_IDLE_SECONDS = 2
    tensorboard.ensure(training)
    first = process_of(training)
    eventually(lambda: not first.alive())
    settings.TENSORBOARD_IDLE_SECONDS = 600
    tensorboard.ensure(training)
    assert process_of(training) != first


def test_it_ends_when_its_training_is_deleted(training, people):
    tensorboard.ensure(training)
    process = process_of(training)
    services.training_delete(training=training, user=people.editor)
    assert not process.alive()
    assert not tensorboard._path(training.pk, "json").exists()


def test_it_ends_with_the_web_process_that_started_it_however_that_ends(training, home):
    """Stood in for by a process of its own that starts it and is then killed without a chance to tidy up."""
    code = (
        "import django, time; django.setup(); from training import tensorboard; from training.models import Training;"
        f"tensorboard.ensure(Training(pk='{training.pk}', project_id='p')); print('up', flush=True); time.sleep(600)"
    )
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "console.settings", "CONSOLE_HOME": str(home)}
    web = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
    assert web.stdout.readline() == "up\n"
    process = process_of(training)
    web.kill()
    web.wait()
    eventually(lambda: not process.alive(), seconds=10)
