"""Figures, recent requests and kept images of a stage over the REST API."""

import io
from datetime import timedelta

import pytest
from django.utils import timezone
from PIL import Image

from endpoints import statistics
from endpoints.models import Stage


@pytest.fixture
def editor(api, people, project, home):
    return api(people.editor)


@pytest.fixture
def stage(endpoint) -> Stage:
    return endpoint.default_stage


def address(stage: Stage, more: str = "") -> str:
    return f"/api/v1/stages/{stage.pk}/{more}"


def record(stage: Stage, status: int = 200, minutes_ago: float = 0, **more) -> None:
    at = timezone.now() - timedelta(minutes=minutes_ago)
    statistics.write([statistics.Call(stage.pk, at, "/inference", status, 12, **more)])


@pytest.mark.parametrize(
    ("wanted", "calls", "step"), [("hour", 1, 60), ("day", 2, 900), ("week", 3, 3600), ("quarter", 4, 86400)]
)
def test_a_range_has_its_steps(editor, stage, wanted, calls, step):
    for days in (0, 0.5, 3, 30):
        record(stage, minutes_ago=days * 1440, batch_size=2, bytes_in=5)
    seen = editor.get(address(stage, "statistics/"), {"range": wanted}).json()
    assert (seen["calls"], seen["step_seconds"], seen["bytes_in"], seen["batch_size"]) == (calls, step, 5 * calls, 2)
    assert sum(row["calls"] for row in seen["minutes"]) == calls
    assert len(seen["requests"]) == 4


def test_what_scripts_read_of_the_statistics_is_still_there(editor, stage):
    record(stage, 400, error="no instances", key_prefix="abcd", bytes_in=7)
    seen = editor.get(address(stage, "statistics/"), {"hours": 24}).json()
    counts = {"calls", "succeeded", "client_errors", "server_errors", "bytes_in", "bytes_out", "p50", "p95", "p99"}
    assert seen.keys() >= counts | {"minutes", "requests"}
    assert seen["minutes"][0].keys() >= counts | {"minute"}
    assert (
        seen["requests"][0].items()
        >= {
            "path": "/inference",
            "status": 400,
            "milliseconds": 12.0,
            "bytes_in": 7,
            "key_prefix": "abcd",
            "error": "no instances",
        }.items()
    )


def test_an_unknown_range_is_refused(editor, stage):
    answer = editor.get(address(stage, "statistics/"), {"range": "year"})
    assert (answer.status_code, list(answer.json()["error"]["fields"])) == (400, ["range"])


def test_recent_requests_in_pages_and_by_class_of_status(editor, stage):
    for status in (200, 404, 429, 503):
        record(stage, status, bytes_out=3, batch_size=2)
    seen = editor.get(address(stage, "requests/"), {"page_size": 3}).json()
    assert (seen["count"], [row["status"] for row in seen["results"]]) == (4, [503, 429, 404])
    assert seen["results"][0].items() >= {"bytes_out": 3, "batch_size": 2, "image": ""}.items()
    seen = editor.get(address(stage, "requests/"), {"status": "4xx"}).json()
    assert [row["status"] for row in seen["results"]] == [429, 404]
    wrong = editor.get(address(stage, "requests/"), {"status": "9xx"})
    assert (wrong.status_code, list(wrong.json()["error"]["fields"])) == (400, ["status"])


def test_images_are_kept_once_an_editor_says_so_and_members_fetch_them(editor, api, people, stage):
    assert editor.get(address(stage)).json()["keep_images"] is False
    assert api(people.viewer).patch(address(stage), {"keep_images": True}, format="json").status_code == 403
    assert editor.patch(address(stage), {"keep_images": True}, format="json").json()["keep_images"] is True
    out = io.BytesIO()
    Image.new("RGB", (32, 16)).save(out, "PNG")
    record(stage, body=out.getvalue(), content_type="image/png")
    [row] = api(people.viewer).get(address(stage, "requests/")).json()["results"]
    image = api(people.viewer).get(row["image"])
    assert (image.status_code, image.headers["Content-Type"]) == (200, "image/jpeg")
    assert Image.open(io.BytesIO(image.content)).size == (32, 16)
    assert api(people.outsider).get(row["image"]).status_code == 404
    assert editor.patch(address(stage), {"keep_images": False}, format="json").status_code == 200
    assert editor.get(row["image"]).status_code == 404
