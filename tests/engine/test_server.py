"""HTTP behaviour of the engine: what is refused, with which status, naming what. The network is a toy."""

import asyncio
import base64
import json
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import httpx
import pytest

from endpoints.engine.plane import DataPlane
from endpoints.engine.protocols import routes
from endpoints.engine.server import MAX_BODY, App
from endpoints.http import QuickProtocol
from tests.endpoints.web import serving
from tests.engine.asgi import BOX, GOOD, Client, b64, bomb, png

REFUSED = [
    (b"{", 400, "not_json", None),
    (b"\xff\xfe", 400, "not_json", None),
    ([GOOD], 400, "invalid_instances", "instances"),
    ({}, 400, "invalid_instances", "instances"),
    ({"instances": []}, 400, "invalid_instances", "instances"),
    ({"instances": GOOD}, 400, "invalid_instances", "instances"),
    ({"instances": [GOOD, GOOD, {"image": "x"}]}, 400, "invalid_instances", "instances[2]"),
    ({"instances": [GOOD["data"]]}, 400, "invalid_instances", "instances[0]"),
    ({"instances": [GOOD, {"data": 7}]}, 400, "not_base64", "instances[1].data"),
    ({"instances": [{"data": "image_to_bytes_array"}]}, 400, "not_base64", "instances[0].data"),
    ({"instances": [GOOD, {"b64": "image_to_bytes_array"}]}, 400, "not_base64", "instances[1].b64"),
    ({"instances": [{"b64": b64(b"no image")}]}, 400, "not_an_image", "instances[0].b64"),
    ({"instances": [{"data": "Zm9v"}]}, 400, "not_an_image", "instances[0].data"),
    ({"instances": [{"data": ""}]}, 400, "not_an_image", "instances[0].data"),
    ({"instances": [GOOD, {"data": b64(png()[:60])}]}, 400, "not_an_image", "instances[1].data"),
    ({"instances": [{"data": b64(bomb())}]}, 413, "image_too_large", "instances[0].data"),
    ({"instances": [GOOD], "parameters": {"top_k": 3}}, 422, "unknown_parameter", "parameters.top_k"),
    ({"instances": [GOOD], "parameters": {"threshold": "high"}}, 422, "invalid_parameter", "parameters.threshold"),
    ({"instances": [GOOD], "parameters": [1]}, 422, "invalid_parameter", "parameters"),
]


@pytest.mark.parametrize(("body", "status", "code", "field"), REFUSED)
def test_bad_input_is_refused_by_name(ask, body, status, code, field):
    got, answer, _ = ask(lambda client: client.post(body))
    assert (got, answer["error"]["code"]) == (status, code)
    assert list(answer["error"]["fields"]) == ([field] if field else [])
    assert (field or "JSON") in answer["error"]["message"]


def test_bad_request_does_not_disturb_its_neighbours(ask):
    async def scenario(client):
        bad = {"instances": [{"data": b64(b"no image")}]}
        return await asyncio.gather(*(client.post(body) for body in ({"instances": [GOOD]}, bad) * 5))

    answers = ask(scenario)
    assert [status for status, _, _ in answers] == [200, 400] * 5
    assert all(body == {"predictions": [[BOX]]} for status, body, _ in answers if status == 200)


@pytest.mark.parametrize("path", ["/inference", "", "/", "/v1/models/shapes/predict", "/v1/models/shapes:predict"])
def test_every_path_of_the_guide_and_of_v1_answers_alike(ask, path):
    status, body, _ = ask(lambda client: client.post({"instances": [GOOD, GOOD]}, path))
    assert (status, body) == (200, {"predictions": [[BOX], [BOX]]})


@pytest.mark.parametrize("path", ["/inference", "/v1/models/shapes:predict"])
def test_an_image_may_be_sent_in_the_form_that_v1_has_for_files(ask, path):
    status, body, _ = ask(lambda client: client.post({"instances": [{"b64": GOOD["data"]}, GOOD]}, path))
    assert (status, body) == (200, {"predictions": [[BOX], [BOX]]})


def test_parameters_reach_the_answer(ask):
    body = {"instances": [GOOD], "parameters": {"scores": True, "threshold": 0.9}}
    _, answer, _ = ask(lambda client: client.post(body))
    assert answer["predictions"][0][0]["balloon"]["score"] == pytest.approx(0.9525741)


def test_base64_broken_into_lines_is_read(ask):
    lines = base64.encodebytes(png()).decode()
    assert ask(lambda client: client.post({"instances": [{"data": lines}]}))[0] == 200


@pytest.mark.parametrize("mode", ["L", "1", "P", "RGBA", "LA", "I;16"])
def test_images_of_every_mode_are_answered(ask, mode):
    assert ask(lambda client: client.post({"instances": [{"data": b64(png(mode=mode))}]}))[0] == 200


@pytest.mark.parametrize("path", ["/nothing", "/v1/models/other/predict", "/v2/models/other", "/inference/x"])
def test_unknown_path(ask, path):
    assert ask(lambda client: client.post({"instances": [GOOD]}, path))[0] == 404


def test_wrong_method_says_which_is_allowed(ask):
    status, body, headers = ask(lambda client: client.request("GET", "/inference"))
    assert (status, body["error"]["code"], headers["allow"]) == (405, "method_not_allowed", "POST")
    assert ask(lambda client: client.request("POST", "/v1/models"))[2]["allow"] == "GET"


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "video/mp4"])
def test_other_content_types_are_refused(ask, content_type):
    scenario = partial(Client.request, method="POST", path="/inference", headers={"content-type": content_type})
    assert ask(scenario)[0] == 415


@pytest.mark.parametrize("headers", [{}, {"content-type": "application/json; charset=utf-8"}])
def test_json_is_taken_with_a_charset_or_without_a_content_type(ask, headers):
    body = json.dumps({"instances": [GOOD]}).encode()
    assert ask(lambda client: client.request("POST", "/inference", [body], headers))[0] == 200


def test_large_body_is_refused_by_its_announced_and_by_its_real_size(ask):
    announced = {"content-type": "application/json", "content-length": str(MAX_BODY + 1)}
    assert ask(lambda client: client.request("POST", "/inference", [b"{"], announced))[0] == 413
    chunks = [bytes(1024 * 1024)] * 11
    assert ask(lambda client: client.request("POST", "/inference", chunks))[0] == 413


def test_client_that_hangs_up_while_sending_gets_no_answer(ask):
    assert ask(lambda client: client.request("POST", "/inference", [b'{"inst'], disconnect=True)) is None


def test_too_many_requests_at_once_are_told_to_come_back(ask, toy):
    async def scenario(client):
        toy.gate.clear()
        held = [asyncio.create_task(client.post({"instances": [GOOD]})) for _ in range(2)]
        await asyncio.sleep(0.1)
        refused = await client.post({"instances": [GOOD]})
        toy.gate.set()
        return refused, [status for status, _, _ in await asyncio.gather(*held)]

    (status, body, headers), held = ask(scenario, max_requests=2)
    assert (status, body["error"]["code"], headers["retry-after"]) == (429, "too_busy", "1")
    assert held == [200, 200]


def test_request_past_its_deadline_leaves_the_queue(ask, toy):
    async def scenario(client):
        toy.gate.clear()
        running = asyncio.create_task(client.post({"instances": [GOOD]}))
        await asyncio.to_thread(toy.begun.wait, 5)
        late = await asyncio.gather(running, *(client.post({"instances": [GOOD]}) for _ in range(2)))
        toy.gate.set()
        return late, await client.post({"instances": [GOOD]})

    late, fresh = ask(scenario, deadline_seconds=0.3)
    assert {(status, body["error"]["code"]) for status, body, _ in late} == {(503, "deadline_passed")}
    assert all(headers["retry-after"] == "1" for _, _, headers in late)
    assert fresh[0] == 200
    assert toy.images == 2  # the one that was running and the fresh one


def test_request_that_cannot_be_answered_in_its_callers_time_is_refused_at_once(ask, toy):
    async def scenario(client):
        toy.gate.clear()
        running = asyncio.create_task(client.post({"instances": [GOOD]}))
        await asyncio.to_thread(toy.begun.wait, 5)
        headers = {"content-type": "application/json", "x-deadline-ms": "200"}
        late = await client.request("POST", "/inference", [json.dumps({"instances": [GOOD]}).encode()], headers)
        toy.gate.set()
        return late, await running

    late, running = ask(scenario)
    assert (late[0], late[1]["error"]["code"], late[2]["retry-after"]) == (503, "deadline_passed", "1")
    assert running[0] == 200
    assert toy.images == 1


def test_answer_says_how_many_images_were_computed_together(ask, toy):
    async def scenario(client):
        toy.gate.clear()
        first = asyncio.create_task(client.post({"instances": [GOOD]}))
        await asyncio.to_thread(toy.begun.wait, 5)
        others = [asyncio.create_task(client.post({"instances": [GOOD]})) for _ in range(3)]
        await asyncio.sleep(0.2)
        toy.gate.set()
        return await asyncio.gather(first, *others)

    assert [answer[2]["x-batch-size"] for answer in ask(scenario)] == ["1", "3", "3", "3"]


def test_caller_that_hangs_up_frees_its_place_and_costs_no_work(model, toy):
    """Over a real connection: the closed socket is all that the engine hears of it."""
    plane = DataPlane(model, toy, threads=2)
    app = App(routes("shapes", "/inference", "1"), lambda: plane, pytest.fail, max_requests=2)
    with (
        serving(app, QuickProtocol) as url,
        httpx.Client(base_url=url, timeout=30) as client,
        ThreadPoolExecutor(2) as pool,
    ):
        while client.get("/-/ready").status_code != 200:
            time.sleep(0.01)
        toy.gate.clear()
        running = pool.submit(client.post, "/inference", json={"instances": [GOOD]})
        assert toy.begun.wait(5)
        leaving = take_the_last_place(client, httpx.URL(url).port)
        leaving.close()
        waiting = pool.submit(ask_until_taken, client)
        time.sleep(0.2)
        toy.gate.set()
        assert [answer.result(20).status_code for answer in (running, waiting)] == [200, 200]
    assert toy.images == 2  # the one that was running and the one that came last


def take_the_last_place(client, port):
    """-> the connection of a request that waits. Whether it does, another request is told by a 429."""
    body = json.dumps({"instances": [GOOD]}).encode()
    while True:
        connection = socket.create_connection(("127.0.0.1", port))
        connection.sendall(b"POST /inference HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        for _ in range(50):
            asked = client.post("/inference", json={"instances": [GOOD]}, headers={"x-deadline-ms": "1"})
            if asked.status_code == 429:
                return connection
        connection.close()  # the other request was quicker, and this one got the 429


def ask_until_taken(client):
    while (answer := client.post("/inference", json={"instances": [GOOD]})).status_code == 429:
        time.sleep(0.01)
    return answer


def test_images_that_together_need_too_much_memory_are_refused(ask):
    status, body, _ = ask(lambda client: client.post({"instances": [GOOD] * 6}))
    error = body["error"]
    assert (status, error["code"], list(error["fields"])) == (413, "too_many_instances", ["instances[5]"])


def test_metadata_and_health_routes(ask):
    async def scenario(client):
        paths = ("/v1/models", "/v1/models/shapes", "/v2/health/live", "/v2/health/ready", "/v2/models/shapes/ready")
        return [await client.request("GET", path) for path in paths]

    named = {"name": "shapes", "ready": True}
    expected = [{"models": ["shapes"]}, named, {"live": True}, {"ready": True}, named]
    assert [(status, body) for status, body, _ in ask(scenario)] == [(200, body) for body in expected]


def test_until_the_model_is_loaded_the_engine_lives_but_is_not_ready():
    async def scenario():
        app = App(routes("shapes", "/inference", "1"), lambda: time.sleep(60), pytest.fail)
        client = Client(app)
        paths = ("/-/ready", "/v1/models/shapes", "/v2/health/ready", "/v2/health/live", "/v2")
        answers = [await client.request("GET", path) for path in paths]
        return [*answers, await client.post({"instances": [GOOD]})]

    answers = asyncio.run(scenario())
    assert [status for status, _, _ in answers] == [503, 503, 503, 200, 200, 503]
    assert answers[0][2]["retry-after"] == "1"
