"""What callers of an endpoint's own URL notice of a rollout, and what it sees of them."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from endpoints.invoke import StageApplication
from endpoints.rates import Limits
from endpoints.rollout_figures import add
from endpoints.statistics import Call, Recorder
from tests.endpoints.web import Request, Web, resource, serving, table, toy_engine


class Watched(Web):
    """A served application that writes its calls and figures here, not into a database."""

    def __init__(self, url: str, table: Path, calls: list[Call], figures: dict) -> None:
        super().__init__(url, table)
        self.calls, self.figures = calls, figures

    def wait_for(self, calls: int) -> list[Call]:
        """Once so many have been counted; each second would be the product's pace."""
        until(lambda: len(self.calls) >= calls)
        time.sleep(3 * PACE)  # and the figures with them
        return self.calls


PACE = 0.05


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def web(tmp_path) -> Iterator[Watched]:
    calls: list[Call] = []
    figures: dict = {}
    path = tmp_path / "routes.json"

    def count(seen: dict) -> None:
        for sums in seen.values():
            add(figures, sums)

    application = StageApplication(path, Recorder(write=calls.extend), Limits(stage=8), count, PACE)
    with serving(application) as url:
        yield Watched(url, path, calls, figures)


def rolled_out(default: str, candidate: str, mode: str, share: int, **more) -> dict:
    found = table({"default": [resource(default)], "canary": [resource(candidate, **more)]})
    found["endpoints"]["e1"]["rollout"] = {"id": "r1", "stage": "canary", "mode": mode, "share": share}
    return found


def says(name: str):
    return lambda request: request.reply({"stage": name, "path": request.path})


@pytest.fixture
def default(tmp_path) -> Iterator[str]:
    with toy_engine(tmp_path / "default.sock", says("default")) as path:
        yield path


@pytest.fixture
def canary(tmp_path) -> Iterator[str]:
    with toy_engine(tmp_path / "canary.sock", says("canary")) as path:
        yield path


def stages(web: Web, calls: int, path: str = "/stage/e1") -> Counter[str]:
    return Counter(web.post(path).raise_for_status().json()["stage"] for _ in range(calls))


@pytest.mark.parametrize("share", [1, 10, 35, 100])
def test_canary_answers_its_share_of_the_calls(web, default, canary, share):
    web.publish(rolled_out(default, canary, "canary", share))
    answered = stages(web, 200)
    assert answered["canary"] == 2 * share
    web.wait_for(200)
    figures = web.figures
    assert figures["candidate"]["calls"] == 2 * share
    assert figures.get("default", {}).get("calls", 0) == 200 - 2 * share
    assert sum(figures["candidate"]["latencies"].values()) == 2 * share


def test_addresses_of_stages_are_left_alone(web, default, canary):
    web.publish(rolled_out(default, canary, "canary", 100))
    assert stages(web, 5, "/stage/e1/default") == {"default": 5}
    assert stages(web, 5, "/stage/e1/canary/inference") == {"canary": 5}
    assert stages(web, 5, "/stage/e1/inference") == {"canary": 5}
    assert web.client.get("/stage/e1/v2/health/ready").json()["stage"] == "default", "only inference is tried"
    assert Counter(call.stage_id for call in web.wait_for(16)) == {"id-of-default": 6, "id-of-canary": 10}
    assert web.figures["candidate"]["calls"] == 5


def test_path_with_the_models_name_finds_the_candidates_model(web, default, canary):
    web.publish(rolled_out(default, canary, "canary", 100, model="색 2"))
    for verb in ("/predict", ":predict"):
        asked = web.post(f"/stage/e1/v1/models/colours{verb}").json()
        assert asked == {"stage": "canary", "path": f"/v1/models/%EC%83%89%202{verb}"}
    assert web.post("/stage/e1/v2/models/colours/infer").json()["path"] == "/v2/models/%EC%83%89%202/infer"


def test_candidate_without_such_a_resource_is_not_asked(web, default, canary):
    web.publish(rolled_out(default, canary, "canary", 100, path="/elsewhere"))
    assert stages(web, 3) == {"default": 3}


def fails(status: int):
    return lambda request: request.reply({"error": {"code": "x", "message": "x", "fields": {}}}, status)


@pytest.mark.parametrize(
    "engine", [fails(500), fails(503), fails(429), lambda request: request.hang_up()], ids=["500", "503", "429", "dies"]
)
def test_canary_that_fails_costs_no_caller_an_error(web, tmp_path, default, engine):
    with toy_engine(tmp_path / "bad.sock", engine) as bad:
        web.publish(rolled_out(default, bad, "canary", 50))
        assert stages(web, 20) == {"default": 20}
    assert {call.stage_id for call in web.wait_for(20)} == {"id-of-default"}
    default, candidate = web.figures["default"], web.figures["candidate"]
    assert (candidate["calls"], candidate["errors"]) == (10, 10)
    assert (default["calls"], default["errors"]) == (20, 0)


def test_canary_that_is_not_there_leaves_its_calls_to_the_default(web, tmp_path, default):
    for missing in ("", str(tmp_path / "nobody.sock")):
        web.publish(rolled_out(default, missing, "canary", 100))
        assert stages(web, 5) == {"default": 5}
    web.wait_for(10)
    assert web.figures["candidate"]["errors"] == 10


def test_wrong_requests_count_for_nobody(web, tmp_path, default):
    with toy_engine(tmp_path / "strict.sock", fails(400)) as strict:
        web.publish(rolled_out(default, strict, "canary", 100))
        assert web.post("/stage/e1").status_code == 400
    web.wait_for(1)
    assert web.figures == {}


def top(label: str):
    return lambda request: request.reply([{"score": 0.9, "label": label}])


def test_shadow_is_compared_and_never_heard(web, tmp_path):
    bodies: list[bytes] = []

    def sometimes_dog(request: Request) -> None:
        bodies.append(request.body)
        top("dog" if b"dog" in request.body else "cat")(request)

    with (
        toy_engine(tmp_path / "a.sock", top("cat")) as default,
        toy_engine(tmp_path / "b.sock", sometimes_dog) as shadow,
    ):
        web.publish(rolled_out(default, shadow, "shadow", 50))
        for turn in range(20):
            body = b'"dog"' if turn < 4 else b'"cat"'
            assert web.post("/stage/e1", json=None, content=body).json()[0]["label"] == "cat"
        until(lambda: web.figures.get("compared") == 10)
        web.wait_for(20)
    figures = web.figures
    assert (figures["compared"], figures["agreed"]) == (10, 8)
    assert (figures["default"]["calls"], figures["candidate"]["calls"]) == (20, 10)
    assert sorted(bodies) == [b'"cat"'] * 8 + [b'"dog"'] * 2
    assert {call.stage_id for call in web.wait_for(20)} == {"id-of-default"}, "a copy is no call of the stage"


def test_shadow_that_hangs_or_fails_delays_nobody(web, tmp_path):
    """Every copy hangs until the test ends, and the calls are answered all the same; what does not fit is dropped."""
    go = threading.Event()

    def hang(request: Request) -> None:
        go.wait(30)
        fails(500)(request)

    with toy_engine(tmp_path / "a.sock", top("cat")) as default, toy_engine(tmp_path / "b.sock", hang) as shadow:
        web.publish(rolled_out(default, shadow, "shadow", 100))
        assert {web.post("/stage/e1").status_code for _ in range(100)} == {200}
        until(lambda: web.figures.get("dropped") == 32)
        assert "candidate" not in web.figures
        go.set()
        until(lambda: web.figures.get("candidate", {}).get("errors") == 68)
    assert (web.figures["default"]["calls"], web.figures["default"]["errors"]) == (100, 0)


def test_candidate_that_refuses_what_the_default_answers_has_failed(web, tmp_path, default):
    with toy_engine(tmp_path / "strict.sock", fails(400)) as strict:
        web.publish(rolled_out(default, strict, "shadow", 100))
        assert web.post("/stage/e1").status_code == 200
        until(lambda: "candidate" in web.figures)
    assert web.figures["candidate"]["errors"] == 1
