"""Which engine a call goes to, and what becomes of it when that engine goes away."""

import os
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from endpoints.invoke import StageApplication
from endpoints.statistics import Call, Recorder
from tests.endpoints.web import Request, Web, error, resource, serving, table, toy_engine

calls: list[Call] = []


@pytest.fixture(scope="module")
def web(tmp_path_factory) -> Iterator[Web]:
    table = tmp_path_factory.mktemp("run") / "routes.json"
    with serving(StageApplication(table, Recorder(write=calls.extend))) as url:
        yield Web(url, table)


def several(*sockets: str) -> dict:
    return {**resource(), "sockets": list(sockets)}


def test_of_several_engines_the_one_with_the_fewest_calls_is_asked(web, tmp_path):
    """Both engines answer only when all six calls have come: until then each call finds those before it in flight."""
    seen: Counter[str] = Counter()
    all_there = threading.Barrier(6)

    def answer(name: str):
        def wait_for_company(request: Request) -> None:
            seen[name] += 1
            all_there.wait(10)
            request.reply({"engine": name})

        return wait_for_company

    with (
        toy_engine(tmp_path / "a.sock", answer("a")) as a,
        toy_engine(tmp_path / "b.sock", answer("b")) as b,
        ThreadPoolExecutor(6) as callers,
    ):
        web.publish(table({"default": [several(a, b)]}))
        answers = list(callers.map(lambda _: web.post("/stage/e1").json()["engine"], range(6)))
    assert sorted(answers) == list("aaabbb")
    assert seen == {"a": 3, "b": 3}


def test_call_of_an_engine_that_dies_goes_to_another_at_once(web, tmp_path):
    died: list[str] = []

    def die(request: Request) -> None:
        died.append(request.path)
        request.hang_up()

    with (
        toy_engine(tmp_path / "a.sock", die) as a,
        toy_engine(tmp_path / "b.sock", lambda r: r.reply({"engine": "b"})) as b,
    ):
        web.publish(table({"default": [several(a, b)]}))
        assert [web.post("/stage/e1").json()["engine"] for _ in range(2)] == ["b", "b"]
    assert len(died) == 2


def test_call_of_an_engine_that_dies_between_head_and_body_of_its_answer_goes_to_another(web, tmp_path):
    def die(request: Request) -> None:
        request.send_response(200)
        request.send_header("Content-Length", "100")
        request.end_headers()
        request.hang_up()

    with (
        toy_engine(tmp_path / "a.sock", die) as a,
        toy_engine(tmp_path / "b.sock", lambda r: r.reply({"engine": "b"})) as b,
    ):
        web.publish(table({"default": [several(a, b)]}))
        assert web.post("/stage/e1").json() == {"engine": "b"}


def test_dead_sockets_beside_a_living_one_do_not_matter(web, tmp_path):
    with toy_engine(tmp_path / "b.sock", lambda r: r.reply({"engine": "b"})) as b:
        web.publish(table({"default": [several(str(tmp_path / "none.sock"), b)]}))
        assert web.post("/stage/e1").json() == {"engine": "b"}


def test_engine_that_is_about_to_end_passes_its_call_on(web, tmp_path):
    def ending(request: Request) -> None:
        request.reply({"error": {"code": "not_ready", "message": "I leave.", "fields": {}}}, 503)

    with (
        toy_engine(tmp_path / "a.sock", ending) as a,
        toy_engine(tmp_path / "b.sock", lambda r: r.reply({"engine": "b"})) as b,
    ):
        web.publish(table({"default": [several(a, b)]}))
        assert web.post("/stage/e1").json() == {"engine": "b"}


def test_resource_that_answered_a_moment_ago_is_waited_for(web, tmp_path):
    """Between the death of its engine and the next one, the table has no socket of it."""
    with toy_engine(tmp_path / "a.sock", lambda r: r.reply({"engine": "a"})) as a:
        web.publish(table({"default": [resource(a)]}))
        assert web.post("/stage/e1").json() == {"engine": "a"}
    web.publish(table({"default": [resource()]}))
    with ThreadPoolExecutor(1) as caller, toy_engine(tmp_path / "b.sock", lambda r: r.reply({"engine": "b"})) as b:
        asked = caller.submit(web.post, "/stage/e1")
        time.sleep(0.3)
        assert not asked.done()
        web.publish(table({"default": [resource(b)]}))
        assert asked.result(10).json() == {"engine": "b"}


def test_engine_that_closed_its_idle_connections_is_connected_anew(web, tmp_path):
    def once_each(request: Request) -> None:
        request.reply({"engine": "a"})
        request.hang_up()  # after the answer, and without saying so in it

    with toy_engine(tmp_path / "a.sock", once_each) as a:
        web.publish(table({"default": [resource(a)]}))
        assert {web.post("/stage/e1").status_code for _ in range(20)} == {200}


def test_answer_too_large_to_be_held_comes_through_whole(web, tmp_path):
    content = os.urandom(20 * 2**20).hex().encode()

    def long_answer(request: Request) -> None:
        request.send_response(200)
        request.send_header("Transfer-Encoding", "chunked")
        request.end_headers()
        for start in range(0, len(content), 2**20):
            request.wfile.write(b"100000\r\n" + content[start : start + 2**20] + b"\r\n")
        request.wfile.write(b"0\r\n\r\n")

    with toy_engine(tmp_path / "a.sock", long_answer) as a:
        web.publish(table({"default": [resource(a)]}))
        assert web.post("/stage/e1").content == content
        assert web.post("/stage/e1").content == content


def test_size_of_the_batch_is_counted_and_stays_here(web, tmp_path):
    with toy_engine(tmp_path / "a.sock", lambda r: r.reply({}, **{"X-Batch-Size": "7"})) as a:
        web.publish(table({"batched": [resource(a)]}, default="batched"))
        assert "x-batch-size" not in web.post("/stage/e1").headers
    deadline = time.monotonic() + 5
    while not (found := [call for call in calls if call.stage_id == "id-of-batched"]):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert [call.batch_size for call in found] == [7]


def test_head_request_is_answered_without_a_body(web, tmp_path):
    def only_post(request: Request) -> None:
        request.send_response(405)
        request.send_header("Content-Length", "40")
        request.send_header("Allow", "POST")
        request.end_headers()

    with toy_engine(tmp_path / "a.sock", only_post) as a:
        web.publish(table({"default": [resource(a)]}))
        for _ in range(2):
            answer = web.client.head("/stage/e1")
            assert (answer.status_code, answer.headers["allow"], answer.content) == (405, "POST", b"")


def test_engine_that_talks_nonsense_is_no_answer(web, tmp_path):
    path = tmp_path / "a.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def talk() -> None:
            for _ in range(2):
                connection = listener.accept()[0]
                connection.recv(10**6)
                connection.sendall(b"220 ESMTP ready\r\n")
                connection.close()

        talking = threading.Thread(target=talk, daemon=True)
        talking.start()
        web.publish(table({"default": [resource(str(path))]}))
        answer = web.post("/stage/e1")
        talking.join(10)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "unavailable")


def test_engine_that_went_away_under_a_call_is_asked_once_more(web, tmp_path):
    calls: list[str] = []

    def first_call_fails(request: Request) -> None:
        calls.append(request.path)
        request.hang_up() if len(calls) == 1 else request.reply({"call": len(calls)})

    with toy_engine(tmp_path / "e.sock", first_call_fails) as path:
        web.publish(table({"default": [resource(path)]}))
        assert web.post("/stage/e1").json() == {"call": 2}


def test_call_waits_for_an_engine_that_is_being_replaced(web, tmp_path):
    path = tmp_path / "e.sock"
    web.publish(table({"default": [resource(str(path))]}))  # nobody listens yet
    answers: list[httpx.Response] = []
    caller = threading.Thread(target=lambda: answers.append(web.post("/stage/e1")))
    caller.start()
    time.sleep(0.5)
    with toy_engine(path, lambda r: r.reply({})):
        caller.join(10)
    assert answers[0].status_code == 200


def test_engine_that_dies_of_every_call_is_not_asked_for_ever(web, tmp_path):
    calls: list[str] = []

    def die(request: Request) -> None:
        calls.append(request.path)
        request.hang_up()

    with toy_engine(tmp_path / "e.sock", die) as path:
        web.publish(table({"default": [resource(path)]}))
        answer = web.post("/stage/e1")
    assert error(answer) == (503, "unavailable")
    assert "retry-after" in answer.headers
    assert len(calls) == 2


def test_answer_that_breaks_off_is_not_passed_on_as_whole_nor_asked_for_again_once_it_has_begun(web, tmp_path):
    calls: list[str] = []
    size = 100

    def break_off(request: Request) -> None:
        calls.append(request.path)
        request.send_response(200)
        request.send_header("Content-Length", str(size))
        request.end_headers()
        request.wfile.write(b"1" * (size // 2))
        request.hang_up()

    with toy_engine(tmp_path / "e.sock", break_off) as path:
        web.publish(table({"default": [resource(path)]}))
        assert error(web.post("/stage/e1")) == (503, "unavailable")
        assert len(calls) == 2, "the caller had seen nothing of it"
        size = 2**25  # too much to be held back until it is whole
        with pytest.raises(httpx.RemoteProtocolError):
            web.post("/stage/e1")
    assert len(calls) == 3
