"""The stage URL: what a client gets, whatever the engine behind it does."""

import hashlib
import json
import os
import socket
import threading
import time
from collections.abc import Iterator

import httpx
import pytest

from endpoints import services
from endpoints.invoke import StageApplication
from endpoints.models import EndpointKey, RequestRecord, StageMinute
from endpoints.statistics import Recorder
from tests.endpoints.colours import LABELS, request
from tests.endpoints.web import Request, Web, error, resource, serving, table, toy_engine


@pytest.fixture(scope="module")
def web(tmp_path_factory) -> Iterator[Web]:
    table = tmp_path_factory.mktemp("run") / "routes.json"
    with serving(StageApplication(table, Recorder(write=lambda calls: None))) as url:
        yield Web(url, table)


def echo(request: Request) -> None:
    body = {"path": request.path, "type": request.headers.get("Content-Type"), "bytes": len(request.body)}
    request.reply({**body, "method": request.command})


@pytest.fixture
def engine(tmp_path):
    """Says what it was asked, on a socket."""
    with toy_engine(tmp_path / "e.sock", echo) as path:
        yield path


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("/stage/e1", "/"),
        ("/stage/e1/", "/"),
        ("/stage/e1/inference", "/inference"),
        ("/stage/e1/inference/", "/inference"),
        ("/stage/e1/default", "/"),
        ("/stage/e1/default/inference", "/inference"),
        ("/stage/e1/v1/models/colours/predict", "/v1/models/colours/predict"),
        ("/stage/e1/default/v1/models/colours:predict", "/v1/models/colours:predict"),
        ("/stage/e1/v2/health/ready", "/v2/health/ready"),
    ],
)
def test_every_path_below_a_stage_reaches_its_engine(web, engine, path, asked):
    web.publish(table({"default": [resource(engine)]}))
    body = json.dumps(request()).encode()
    answer = web.post(path, json=None, content=body, headers={"Content-Type": "application/json; charset=utf-8"})
    assert answer.json() == {
        "path": asked, "type": "application/json; charset=utf-8", "bytes": len(body), "method": "POST"
    }  # fmt: skip


def test_each_resource_of_a_stage_has_its_own_engine(web, tmp_path, engine):
    shades = "색조 모델"
    with toy_engine(tmp_path / "2.sock", lambda r: r.reply({"second": r.path})) as second:
        web.publish(table({"default": [resource(engine), resource(second, "/shades/fine", shades)]}))
        assert web.post("/stage/e1/shades/fine").json() == {"second": "/shades/fine"}
        assert "second" not in web.post("/stage/e1").json()
        asked = web.post(f"/stage/e1/v1/models/{shades}/predict").json()["second"]
        assert httpx.URL("http://engine" + asked).path == f"/v1/models/{shades}/predict"
        status, _ = error(web.post("/stage/e1/shades"))
        assert status == 404


def test_stage_of_several_models_lists_them_and_is_ready_when_all_are(web, engine):
    first = resource(engine)
    web.publish(table({"default": [first, resource(path="/shades", model="shades")]}))
    for path in ("/stage/e1/v1/models", "/stage/e1/default/v2/models"):
        assert web.client.get(path).json() == {"models": ["colours", "shades"]}
    assert web.client.get("/stage/e1/v2/health/ready").status_code == 503
    assert web.client.get("/stage/e1/v2/models/colours/ready").status_code == 200
    web.publish(table({"default": [first, resource(engine, "/shades", "shades")]}))
    assert web.client.get("/stage/e1/v2/health/ready").status_code == 200
    web.publish(table({"default": [first]}))
    assert web.client.get("/stage/e1/v2/models").json()["path"] == "/v2/models", "one engine answers for itself"


def test_engines_own_errors_come_through_with_their_headers(web, tmp_path):
    def refuse(request: Request) -> None:
        message = {"error": {"code": "method_not_allowed", "message": "Only POST.", "fields": {}}}
        request.reply(message, 405, Allow="POST")

    with toy_engine(tmp_path / "e.sock", refuse) as path:
        web.publish(table({"default": [resource(path)]}))
        answer = web.client.get("/stage/e1/inference")
        assert error(answer) == (405, "method_not_allowed")
        assert answer.headers["allow"] == "POST"


@pytest.mark.parametrize(
    "path",
    ["/stage/e2", "/stage/", "/stage/e1/other", "/stage/e1/-/info", "/stage/e1/default/-/ready", "/stage/e1/../e1"],
)
def test_unknown_addresses_are_404(web, engine, path):
    web.publish(table({"default": [resource(engine)]}))
    # A raw request: httpx would tidy the path.
    with socket.create_connection(httpx.URL(web.url).netloc.decode().split(":")) as raw:
        raw.sendall(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{{}}".encode())
        answer = b"".join(iter(lambda: raw.recv(4096), b""))
    assert answer.startswith(b"HTTP/1.1 404 ")
    assert b'"code": "not_found"' in answer


def test_stage_that_is_not_ready_asks_to_come_back(web):
    web.publish(table({"default": [resource()]}))
    answer = web.post("/stage/e1")
    assert error(answer) == (503, "unavailable")
    assert int(answer.headers["retry-after"]) > 0


def test_key_is_asked_for_and_checked(web, engine):
    key = "abcdefgh.0123456789"
    digest = "sha512$$" + hashlib.sha512(key.encode()).hexdigest()
    keys = {"abcdefgh": {"hash": digest, "expires": None, "calls_per_minute": None}}
    web.publish(table({"default": [resource(engine)]}, keys=keys))
    answer = web.post("/stage/e1")
    assert error(answer) == (401, "key_missing")
    assert error(web.post("/stage/e1/whatever")) == (401, "key_missing")  # nor does it tell which paths there are
    assert answer.headers["www-authenticate"] == "Bearer"
    for wrong in ("abcdefgh.other", "zzzzzzzz.0123456789", "열쇠", "abcdefgh", "x" * 5000):
        assert error(web.post("/stage/e1", headers={"X-API-Key": wrong.encode()})) == (403, "key_refused")
        assert error(web.post("/stage/e1", headers={"Authorization": b"Bearer " + wrong.encode()}))[0] == 403
    assert web.post("/stage/e1", headers={"Authorization": f"Bearer {key}"}).status_code == 200
    assert web.post("/stage/e1", headers={"Authorization": f"bearer {key}"}).status_code == 200
    assert web.post("/stage/e1", headers={"X-API-Key": key}).status_code == 200


def test_body_over_ten_megabytes_is_refused_and_the_limit_itself_is_not(web, engine):
    web.publish(table({"default": [resource(engine)]}))
    limit = 10 * 1024 * 1024
    assert web.post("/stage/e1", json=None, content=b"x" * limit).json()["bytes"] == limit
    assert error(web.post("/stage/e1", json=None, content=b"x" * (limit + 1))) == (413, "too_large")
    chunks = (b"x" * 2**20 for _ in range(11))  # without a Content-Length
    assert error(web.post("/stage/e1", json=None, content=chunks)) == (413, "too_large")


def test_what_describes_the_body_reaches_the_engine_and_comes_back(web, tmp_path):
    """The headers of a binary request of the Open Inference Protocol, and nothing else of the caller's."""
    seen: dict[str, str] = {}

    def answer(request: Request) -> None:
        seen.update({name.lower(): text for name, text in request.headers.items()})
        request.reply({}, **{"Inference-Header-Content-Length": "2"})

    sent = {"content-encoding": "gzip", "inference-header-content-length": "12", "content-type": "application/x-this"}
    with toy_engine(tmp_path / "e.sock", answer) as path:
        web.publish(table({"default": [resource(path)]}))
        got = web.post("/stage/e1/v2/models/colours/infer", json=None, content=b"{}", headers={**sent, "x-more": "1"})
    assert got.headers["inference-header-content-length"] == "2"
    assert 0 < int(seen.pop("x-deadline-ms")) < 60_000, "how long the caller still waits"
    assert {name: text for name, text in seen.items() if name not in {"host", "content-length"}} == sent


def test_refusals_below_v2_have_the_form_of_the_open_inference_protocol(web):
    web.publish(table({"default": [resource()]}))
    for path in ("/stage/e1/v2/health/ready", "/stage/e1/default/v2/models/colours"):
        answer = web.client.get(path)
        body = answer.json()
        assert (answer.status_code, body["code"], set(body)) == (
            503,
            "unavailable",
            {"error", "code", "fields"} | {"message"},
        )
        assert body["error"].startswith("The model is not ready")


def test_answer_that_takes_too_long_is_given_up(web, tmp_path, settings):
    settings.STAGE_TIMEOUT_SECONDS = 2
    with toy_engine(tmp_path / "e.sock", lambda r: (time.sleep(4), r.hang_up())) as path:
        web.publish(table({"default": [resource(path)]}))
        began = time.monotonic()
        assert error(web.post("/stage/e1")) == (504, "timeout")
        assert time.monotonic() - began < 2


def test_body_that_dribbles_is_given_up(web, engine, settings):
    settings.STAGE_TIMEOUT_SECONDS = 2
    web.publish(table({"default": [resource(engine)]}))

    def dribble():
        yield b"{"
        time.sleep(2)
        yield b"}"

    answer = web.post("/stage/e1", json=None, content=dribble())
    assert error(answer) == (408, "slow_body")


def test_default_url_moves_without_a_failed_request(web, tmp_path):
    """Callers keep calling while the default stage is changed a hundred times."""
    with (
        toy_engine(tmp_path / "a.sock", lambda r: r.reply({"stage": "a"})) as a,
        toy_engine(tmp_path / "b.sock", lambda r: r.reply({"stage": "b"})) as b,
    ):
        stages = {"a": [resource(a)], "b": [resource(b)]}
        web.publish(table(stages, default="a"))
        answers: list[str] = []
        stop = threading.Event()

        def call() -> None:
            with httpx.Client(base_url=web.url) as client:
                while not stop.is_set():
                    answers.append(client.post("/stage/e1", json=request()).raise_for_status().json()["stage"])

        callers = [threading.Thread(target=call) for _ in range(3)]
        for caller in callers:
            caller.start()
        for turn in range(100):
            default = "ab"[turn % 2]
            web.publish(table(stages, default=default))
            assert web.post("/stage/e1").json() == {"stage": default}
        stop.set()
        for caller in callers:
            caller.join()
    assert set(answers) == {"a", "b"}


@pytest.mark.django_db(transaction=True)
def test_journey_from_endpoint_to_answer(home, project, people, model, supervisor):
    """With the real services, engine and web application: create, call by key, count, revoke."""
    endpoint, key = services.endpoint_create(project=project, user=people.owner, name="Colours", model=model)
    stage = endpoint.default_stage
    application = StageApplication()
    with serving(application) as url, httpx.Client(base_url=url, headers={"X-API-Key": key}) as client:
        assert client.post(endpoint.path, json=request()).status_code == 503
        supervisor.until(lambda: type(stage).objects.get(pk=stage.pk).status == "ACTIVE")
        answer = client.post(f"{endpoint.path}/inference", json=request("blue")).json()
        assert [row["label"] for row in answer] == ["blue", *LABELS[:2]]
        assert answer[0]["score"] > 0.99
        predictions = client.post(f"{stage.path}/v1/models/colours/predict", json=request("lime", "red")).json()
        assert [rows[0]["label"] for rows in predictions["predictions"]] == ["green", "red"]
        assert client.post(endpoint.path, json={"instances": [{"data": "?"}]}).status_code == 400
        assert client.get(f"{endpoint.path}/v1/models/colours").json()["ready"] is True
        services.key_revoke(key=endpoint.keys.get(), user=people.owner)
        assert client.post(endpoint.path, json=request()).status_code == 403
    figures = services.stage_statistics(stage)
    counted = {name: figures[name] for name in ("calls", "succeeded", "client_errors", "server_errors")}
    assert counted == {"calls": 6, "succeeded": 3, "client_errors": 2, "server_errors": 1}
    newest = figures["requests"][0]
    assert (newest.status, newest.path) == (403, "/inference")
    assert "instances[0].data" in figures["requests"][2].error
    assert EndpointKey.objects.get().last_used_at is not None
    assert StageMinute.objects.filter(stage=stage).exists()
    assert RequestRecord.objects.filter(stage=stage).count() == 6


def test_table_is_read_again_only_when_it_changed(web, engine):
    web.publish(table({"default": [resource(engine)]}))
    assert web.post("/stage/e1").status_code == 200
    path = web.table
    stamp = path.stat().st_mtime_ns
    changed = path.read_text().replace('"e1"', '"e2"')
    path.write_text(changed)  # the same file, size and time: as far as anybody can tell, it is the same table
    os.utime(path, ns=(stamp, stamp))
    assert web.post("/stage/e1").status_code == 200
    os.utime(path)
    assert web.post("/stage/e1").status_code == 404
    path.unlink()
    assert web.post("/stage/e2").status_code == 200, "what is known stays true until something else is published"
