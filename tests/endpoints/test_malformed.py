"""Thousands of malformed bodies against a real engine through its stage URL: each is refused with a JSON error, none
disturbs the good request beside it, and the engine lives on."""

import base64
import json
import logging
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import httpx
import pytest

from tests.endpoints.colours import picture
from tests.endpoints.live import KEY, Live, live_stage
from tests.endpoints.malformed import Malformed, requests

CALLERS = 4
GOOD = {"content": base64.b64decode(picture("blue")), "headers": {"Content-Type": "image/png"}}


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with live_stage(tmp_path_factory.mktemp("live")) as live:
        yield live


def is_error_form(request: Malformed, answer: httpx.Response) -> bool:
    body = answer.json()
    below_v2 = request.path.startswith("/v2")
    error = body if below_v2 else body["error"]
    parts = {"code", "message", "fields"} | ({"error"} if below_v2 else set())
    return (
        answer.headers["content-type"] == "application/json"
        and set(error) == parts
        and all(isinstance(error[part], str) for part in parts - {"fields"})
        and all(isinstance(text, str) for text in error["fields"].values())
        and (below_v2 or set(body) == {"error"})
    )


def encoded(request: Malformed) -> dict[str, bytes]:
    return {name: text.encode() for name, text in request.headers.items()}


def ask_all(live: Live, seed: int, count: int) -> Counter[str]:
    """One caller's malformed requests, a good one after every ten. -> how often each answer came."""
    seen: Counter[str] = Counter()
    with httpx.Client(headers={"X-API-Key": KEY}, timeout=60) as client:
        malformed = 0
        for number, request in enumerate(requests(seed)):
            answer = client.post(live.url + request.path, content=request.body, headers=encoded(request))
            detail = (
                f"seed {seed}, request {number}: {request!r:.600} was answered {answer.status_code} {answer.text:.300}"
            )
            if answer.status_code == 200 and not request.is_certain:
                seen["200 damage overlooked"] += 1
                continue
            assert 400 <= answer.status_code < 500, detail
            assert is_error_form(request, answer), detail
            code = answer.json().get("code") or answer.json()["error"]["code"]
            seen[f"{answer.status_code} {code}"] += 1
            malformed += 1
            if malformed % 10 == 0:
                good = client.post(live.url, **GOOD)
                assert (good.status_code, good.json()[0]["label"]) == (200, "blue"), detail
            if malformed == count:
                return seen
    raise AssertionError("unreachable")


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # of the damaged images, where the test itself looks at them
@pytest.mark.parametrize("count", [320, pytest.param(10_000, marks=pytest.mark.slow)])
def test_malformed_bodies_are_refused_and_the_engine_lives(stage: Live, count: int, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.WARNING, "httpx")
    before = stage.engine.call("GET", "/-/info")[1]
    with ThreadPoolExecutor(CALLERS) as pool:
        runs = [pool.submit(ask_all, stage, seed, count // CALLERS) for seed in range(CALLERS)]
        seen = sum((run.result() for run in runs), Counter())
    assert stage.engine.process.poll() is None
    after = stage.engine.call("GET", "/-/info")[1]
    assert after["pid"] == before["pid"] == stage.engine.process.pid
    print(json.dumps(dict(sorted(seen.items())), indent=1), before["memory_mb"], "->", after["memory_mb"], "MB")
    assert "InferenceFailed" not in stage.engine.stderr.read_text()
    refused = seen.total() - seen["200 damage overlooked"]
    assert refused == count
    assert len(seen) >= 12, "the requests are not as various as they should be"


def test_the_same_seed_gives_the_same_requests():
    assert list(islice(requests(5), 30)) == list(islice(requests(5), 30))
