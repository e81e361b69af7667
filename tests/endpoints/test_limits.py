"""What one caller can take from the others: calls a minute, calls at once, places, time."""

import hashlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx
import pytest

from endpoints.invoke import StageApplication
from endpoints.rates import Limits
from endpoints.statistics import Call, Recorder
from tests.endpoints.web import Request, Web, resource, serving, table, toy_engine


@pytest.fixture
def web_with(tmp_path):
    @contextmanager
    def web(calls: list[Call] | None = None, **limits: float) -> Iterator[Web]:
        recorder = Recorder(write=(calls if calls is not None else []).extend)
        application = StageApplication(tmp_path / "routes.json", recorder, Limits(**limits))
        with serving(application) as url:
            yield Web(url, tmp_path / "routes.json")

    return web


def key_row(key: str, calls_per_minute: int | None) -> dict:
    digest = "sha512$$" + hashlib.sha512(key.encode()).hexdigest()
    return {key.partition(".")[0]: {"hash": digest, "expires": None, "calls_per_minute": calls_per_minute}}


def connect(web: Web) -> socket.socket:
    host, port = httpx.URL(web.url).netloc.decode().split(":")
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # before it connects: what it does not read stays there
    raw.connect((host, int(port)))
    raw.settimeout(10)
    return raw


def post(body: bytes = b"{}", length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    return f"POST /stage/e1 HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\n".encode() + body


class Held:
    """A toy engine's answer that waits until the test lets it go, and counts who has come."""

    def __init__(self) -> None:
        self.come = threading.Semaphore(0)
        self.go = threading.Event()
        self.seen = 0

    def __call__(self, request: Request) -> None:
        self.seen += 1
        self.come.release()
        self.go.wait(10)
        request.reply({"answer": 42})


def test_key_makes_its_calls_a_minute_and_no_more(web_with, tmp_path):
    few, any_number = "abcdefgh.0123456789", "zyxwvuts.0123456789"
    asked: list[str] = []
    with (
        web_with() as web,
        toy_engine(tmp_path / "e.sock", lambda r: (asked.append(r.path), r.reply({}))) as path,
    ):
        web.publish(table({"default": [resource(path)]}, keys=key_row(few, 3) | key_row(any_number, None)))
        answers = [web.post("/stage/e1", headers={"X-API-Key": few}) for _ in range(4)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
        assert answers[3].json()["error"]["code"] == "rate_limited"
        assert "3 calls a minute" in answers[3].json()["error"]["message"]
        assert 1 <= int(answers[3].headers["retry-after"]) <= 20, "a third of a minute brings the next call"
        assert len(asked) == 3, "no engine works for a refused call"
        assert {web.post("/stage/e1", headers={"X-API-Key": any_number}).status_code for _ in range(10)} == {200}
        web.publish(table({"default": [resource(path)]}, keys=key_row(few, 100)))
        assert web.post("/stage/e1", headers={"X-API-Key": few}).status_code == 200, "a new limit counts from now on"


def test_wrong_key_uses_up_nobodys_calls(web_with, tmp_path):
    with web_with() as web, toy_engine(tmp_path / "e.sock", lambda r: r.reply({})) as path:
        web.publish(table({"default": [resource(path)]}, keys=key_row("abcdefgh.0123456789", 1)))
        for _ in range(3):
            assert web.post("/stage/e1", headers={"X-API-Key": "abcdefgh.wrong"}).status_code == 403
        assert web.post("/stage/e1", headers={"X-API-Key": "abcdefgh.0123456789"}).status_code == 200


@pytest.mark.parametrize("limits", [{"stage": 2}, {"overall": 2}])
def test_calls_beyond_the_places_are_sent_away_before_they_cost_anything(web_with, tmp_path, limits):
    held = Held()
    with (
        web_with(**limits) as web,
        toy_engine(tmp_path / "e.sock", held) as path,
        ThreadPoolExecutor(2) as callers,
    ):
        web.publish(table({"default": [resource(path)]}))
        first = [callers.submit(web.post, "/stage/e1") for _ in range(2)]
        for _ in first:
            assert held.come.acquire(timeout=10)
        refused = web.post("/stage/e1")
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "too_busy")
        assert int(refused.headers["retry-after"]) > 0
        held.go.set()
        assert [call.result(10).status_code for call in first] == [200, 200]
        assert held.seen == 2
        assert web.post("/stage/e1").status_code == 200


def test_full_stage_leaves_room_for_another(web_with, tmp_path):
    held = Held()
    with (
        web_with(stage=1) as web,
        toy_engine(tmp_path / "a.sock", held) as a,
        toy_engine(tmp_path / "b.sock", lambda r: r.reply({"stage": "b"})) as b,
        ThreadPoolExecutor(1) as caller,
    ):
        web.publish(table({"default": [resource(a)], "other": [resource(b)]}))
        first = caller.submit(web.post, "/stage/e1")
        assert held.come.acquire(timeout=10)
        assert web.post("/stage/e1").status_code == 429
        assert web.post("/stage/e1/other").json() == {"stage": "b"}
        held.go.set()
        assert first.result(10).status_code == 200


def test_body_that_dribbles_holds_no_place(web_with, tmp_path):
    with (
        web_with(stage=1, overall=1, body_seconds=1) as web,
        toy_engine(tmp_path / "e.sock", lambda r: r.reply({})) as path,
        connect(web) as slow,
    ):
        web.publish(table({"default": [resource(path)]}))
        slow.sendall(post(b"{", length=1000))
        assert web.post("/stage/e1").status_code == 200
        answer = slow.recv(4096)
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b'"slow_body"' in answer
        assert slow.recv(4096) == b"", "the connection ends with it"


def test_bodies_together_are_bounded(web_with, tmp_path):
    with (
        web_with(held_bytes=2**20) as web,
        toy_engine(tmp_path / "e.sock", lambda r: r.reply({"bytes": len(r.body)})) as path,
        connect(web) as slow,
    ):
        web.publish(table({"default": [resource(path)]}))
        large = b" " * (600 * 1024)
        slow.sendall(post(large, length=len(large) + 1))
        deadline = time.monotonic() + 10
        while (answer := web.post("/stage/e1", json=None, content=large)).status_code == 200:
            assert time.monotonic() < deadline  # the slow one's has not arrived yet
        assert (answer.status_code, answer.json()["error"]["code"]) == (429, "too_busy")
        assert web.post("/stage/e1").status_code == 200, "small ones still fit"
        slow.sendall(b" ")
        assert slow.recv(4096).startswith(b"HTTP/1.1 200 ")
        assert web.post("/stage/e1", json=None, content=large).json() == {"bytes": len(large)}


def test_caller_who_hangs_up_frees_the_engine_and_the_place(web_with, tmp_path):
    calls: list[Call] = []
    come, left = threading.Event(), threading.Event()

    def wait_for_the_end(request: Request) -> None:
        if json.loads(request.body or b"{}"):
            request.reply({})
            return
        come.set()
        request.connection.settimeout(10)
        if request.connection.recv(1) == b"":  # the web process closed the connection: there is nobody to answer
            left.set()
        request.hang_up()

    with web_with(calls, stage=1) as web, toy_engine(tmp_path / "e.sock", wait_for_the_end) as path:
        web.publish(table({"default": [resource(path)]}))
        with connect(web) as caller:
            caller.sendall(post())
            assert come.wait(10)
            assert web.post("/stage/e1").status_code == 429
        assert left.wait(10)
        assert web.post("/stage/e1").status_code == 200
    given_up = [call for call in calls if call.status == 499]
    assert [call.error for call in given_up] == ["The caller hung up before the answer."]


def test_caller_who_does_not_read_holds_neither_place_nor_connection(web_with, tmp_path):
    calls: list[Call] = []
    answer = {"long": "x" * 6 * 2**20}
    with (
        web_with(calls, stage=1, write_seconds=1, held_bytes=8 * 2**20) as web,
        toy_engine(tmp_path / "e.sock", lambda r: r.reply(answer if r.body == b"long" else {})) as path,
        connect(web) as slow,
    ):
        web.publish(table({"default": [resource(path)]}))
        slow.sendall(post(b"long"))
        assert slow.recv(16).startswith(b"HTTP/1.1 200")
        assert web.post("/stage/e1").status_code == 200
        large = {"json": None, "content": b" " * 3 * 2**20}
        assert web.post("/stage/e1", **large).status_code == 429, "what it does not read takes memory all the same"
        deadline = time.monotonic() + 10
        while not (cut_off := [call for call in calls if call.error.startswith("The caller did not take")]):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert web.post("/stage/e1", **large).status_code == 200
        got = sum(len(data) for data in iter(lambda: slow.recv(2**20), b""))
        assert got < len(answer["long"]), "what was on its way, then the connection ends"
    assert [call.status for call in cut_off] == [200], "that is what it was sent"


def test_call_without_time_left_costs_the_engine_nothing(web_with, tmp_path, settings):
    settings.STAGE_TIMEOUT_SECONDS = 1.2
    asked: list[str] = []
    with web_with() as web, toy_engine(tmp_path / "e.sock", lambda r: asked.append(r.path)) as path:
        web.publish(table({"default": [resource(path)]}))
        answer = web.post("/stage/e1")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "deadline_passed")
    assert "retry-after" in answer.headers
    assert not asked
