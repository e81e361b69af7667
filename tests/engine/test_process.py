"""A live engine process with a real, tiny model: what it loads, when it is ready, how it ends."""

import base64
import io
import json
import re
import shutil
import signal
import stat
import time
from pathlib import Path

import pytest
from PIL import Image

from tests.exported import UnixConnection, engine, exported


def instance(size=(64, 64)):
    file = io.BytesIO()
    Image.new("RGB", size, (220, 60, 60)).save(file, "PNG")
    return {"data": base64.b64encode(file.getvalue()).decode()}


def test_engine_loads_neither_django_nor_torch(tmp_path):
    with engine(exported("image_classification"), tmp_path, python=("-X", "importtime")) as running:
        running.wait_ready()
        assert running.call("POST", "/inference", {"instances": [instance()]})[0] == 200
        libraries = Path(f"/proc/{running.process.pid}/maps").read_text()
        modules = set(re.findall(r"\| +([\w.]+)$", running.stderr.read_text(), re.MULTILINE))
    assert "onnxruntime" in modules
    assert "libtorch" not in libraries
    assert not {name for name in modules if name.split(".")[0] in {"torch", "django", "transformers", "onnx"}}


def test_ready_only_after_the_model_has_answered_and_says_what_it_runs_on(tmp_path):
    with engine(exported("image_classification"), tmp_path) as running:
        while not running.path.exists():
            time.sleep(0.01)
        seen = []
        while not seen or seen[-1] != 200:
            seen.append(running.call("GET", "/-/ready")[0])
        info = running.call("GET", "/-/info")[1]
        metadata = running.call("GET", "/v2/models/shapes")[1]
    assert set(seen) <= {503, 200}
    assert info.pop("load_seconds") > 0
    assert 20 < info["memory_mb"] < 350
    assert info["curve"][0]["batch"] == 1
    assert all(point["ms"] > 0 for point in info["curve"])
    assert info["batch_size"] in [point["batch"] for point in info["curve"]]
    assert info["runtime"] in {"onnxruntime", "openvino"}  # the faster one here
    assert (info["runtime"], info["precision"]) in {(row["runtime"], row["precision"]) for row in info["candidates"]}
    told = {name: info[name] for name in ("device", "threads", "pid")}
    assert told == {"device": "cpu", "threads": 1, "pid": running.process.pid}
    assert metadata["inputs"][-1] == {"name": "pixel_values", "datatype": "FP32", "shape": [-1, 3, 28, 28]}
    assert metadata["outputs"][-1] == {"name": "logits", "datatype": "FP32", "shape": [-1, 2]}


def test_batch_size_and_window_are_as_told(tmp_path):
    options = ("--batch-size", "3", "--batch-window-ms", "1.5", "--precision", "fp32")
    with engine(exported("image_classification"), tmp_path, *options) as running:
        running.wait_ready()
        info = running.call("GET", "/-/info")[1]
        status, body = running.call("POST", "/inference", {"instances": [instance()] * 7})
        log = running.stderr.read_text()
    assert re.search(r"Ready after [\d.]+ s: \w+ in fp32 on cpu, threads: 1, images a run: 3$", log, re.MULTILINE)
    assert (info["batch_size"], info["batch_window_ms"], info["precision"]) == (3, 1.5, "fp32")
    assert (status, len(body)) == (200, 7)


def test_model_name_may_have_spaces_and_korean_letters(tmp_path):
    with engine(exported("image_classification"), tmp_path, name="도로 표지") as running:
        running.wait_ready()
        path = "/v1/models/%EB%8F%84%EB%A1%9C%20%ED%91%9C%EC%A7%80"
        assert running.call("GET", path) == (200, {"name": "도로 표지", "ready": True})
        status, body = running.call("POST", f"{path}:predict", {"instances": [instance()]})
    assert status == 200
    assert {answer["label"] for answer in body["predictions"][0]} == {"circle", "square"}


def test_only_its_own_user_can_reach_the_socket(tmp_path):
    with engine(exported("image_classification"), tmp_path) as running:
        running.wait_ready()
        assert stat.S_IMODE(running.path.stat().st_mode) == 0o600


def test_socket_of_a_killed_engine_is_no_obstacle(tmp_path):
    for _ in range(2):
        with engine(exported("image_classification"), tmp_path) as running:
            running.wait_ready()  # ends with SIGKILL: its socket stays


def test_sigterm_answers_the_request_in_flight_and_exits_with_0(tmp_path):
    """Half of its body has come when the engine is asked to end."""
    body = json.dumps({"instances": [instance((300, 300))] * 40}).encode()
    with engine(exported("image_classification"), tmp_path) as running:
        running.wait_ready()
        connection = UnixConnection(running.path)
        connection.putrequest("POST", "/inference")
        connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body[: len(body) // 2])
        time.sleep(0.3)  # it has begun to read
        running.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        connection.send(body[len(body) // 2 :])
        answer = connection.getresponse()
        assert (answer.status, len(json.loads(answer.read()))) == (200, 40)
        assert running.process.wait(30) == 0
        connection.close()


def test_connection_is_kept_for_the_next_request(tmp_path):
    with engine(exported("image_classification"), tmp_path) as running:
        running.wait_ready()
        connection = UnixConnection(running.path)
        for _ in range(3):
            connection.request("POST", "/inference", json.dumps({"instances": [instance()]}))
            assert connection.getresponse().read().startswith(b'[{"score":')
            socket = connection.sock
        assert connection.sock is socket is not None
        connection.close()


@pytest.mark.parametrize("damage", ["model.onnx", "model.json"])
def test_model_that_cannot_be_loaded_ends_the_engine_with_the_reason(tmp_path, damage):
    broken = tmp_path / "model"
    shutil.copytree(exported("image_classification"), broken)
    (broken / damage).write_bytes(b"{")
    with engine(broken, tmp_path) as running:
        assert running.process.wait(30) == 1
        assert re.match(r"\w+: .+", running.stderr.read_text().splitlines()[-1])
