"""The page of a stage in Chromium: trying it with an image, its charts, its examples."""

import io
import json
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone
from PIL import Image
from playwright.sync_api import Page, expect

from endpoints import routes, statistics
from endpoints.models import Endpoint, Stage
from tests.console.small_engine import Engine
from training import lifecycle
from training.algorithms.base import Message

pytestmark = pytest.mark.browser


@pytest.fixture
def engine(endpoint) -> Iterator[Engine]:
    """In the place of a real one, which the journey has: it answers what a test tells it to."""
    import threading

    path = routes.socket_path(endpoint.default_stage.resources.get().pk)
    endpoint.default_stage.resources.update(sockets=[path.name])
    with Engine(str(path)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def stage_page(page: Page, endpoint: Endpoint) -> Page:
    page.goto(reverse("stage", args=[endpoint.project_id, endpoint.pk, endpoint.default_stage.pk]))
    return page


def small_png() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (8, 8), (0, 90, 120)).save(out, "PNG")
    return out.getvalue()


def answered(page: Page) -> None:
    expect(page.get_by_text(re.compile(r"^Answered in \d+ ms\.$"))).to_be_visible()


def test_scores_are_bars(open_page, people, endpoint, engine):
    engine.answer = (200, [{"score": 0.75, "label": "dog"}, {"score": 0.25, "label": "cat"}])
    page = stage_page(open_page(people.viewer), endpoint)
    page.locator("[data-tryit-sample]").nth(1).click()
    answered(page)
    expect(page.locator(".tryit-bars li")).to_have_text(["dog75.0 %", "cat25.0 %"])
    expect(page.get_by_role("progressbar", name="dog")).to_have_js_property("value", 0.75)
    page.get_by_text("Response body").click()
    assert json.loads(page.locator("[data-tryit-raw] pre").inner_text()) == engine.answer[1]


def test_an_image_chosen_before_the_page_is_ready_is_sent_all_the_same(open_page, people, endpoint, engine):
    engine.answer = (200, [{"score": 1.0, "label": "cat"}])
    page = open_page(people.viewer)
    held = []
    page.route("**/tryit.js", lambda route: held.append(route))  # noqa: PLW0108 (playwright marks what it calls)
    page.goto(reverse("stage", args=[endpoint.project_id, endpoint.pk, endpoint.default_stage.pk]), wait_until="commit")
    page.locator("#try-image").set_input_files({"name": "a.png", "mimeType": "image/png", "buffer": small_png()})
    held[0].continue_()
    answered(page)


COLOUR_AT = """(canvas, [x, y]) => [...canvas.getContext("2d").getImageData(
    Math.round(x * canvas.width / 24), Math.round(y * canvas.height / 16), 1, 1).data.slice(0, 3)]"""


def shown_as(endpoint: Endpoint, algorithm: str) -> None:
    resource: Any = endpoint.default_stage.resources.get()
    type(resource.model).objects.filter(pk=resource.model_id).update(algorithm=algorithm)


def test_boxes_are_drawn_where_they_are_with_their_label(open_page, people, endpoint, engine):
    shown_as(endpoint, "object_detection")
    box = {"xmin": 6, "ymin": 4, "xmax": 18, "ymax": 12}
    engine.answer = (200, {"predictions": [[{"dog": box, "score": 0.9}]]})
    page = stage_page(open_page(people.viewer), endpoint)
    page.locator("[data-tryit-sample]").first.click()
    answered(page)
    expect(page.locator(".tryit-legend li")).to_have_text(["dog6, 4 – 18, 1290.0 %"])
    canvas = page.locator("[data-tryit-canvas]")
    inside, edge = (canvas.evaluate(COLOUR_AT, place) for place in ([12, 8], [6, 8]))
    assert inside == [0, 90, 120]  # the image itself
    assert edge != inside
    with page.expect_response("**/try/"):
        page.get_by_label("Threshold").fill("0.8")
    assert engine.received[-1][1]["parameters"]["threshold"] == 0.8


def test_a_mask_lies_over_the_image_and_a_class_can_be_taken_away(open_page, people, endpoint, engine):
    shown_as(endpoint, "semantic_segmentation")
    engine.answer = (200, {"predictions": [[[0] * 256 + [1] * 256 for _row in range(512)]]})
    page = stage_page(open_page(people.viewer), endpoint)
    page.locator("[data-tryit-sample]").first.click()
    answered(page)
    keys = page.locator(".tryit-legend button")
    expect(keys).to_have_text(["cat50.0 %", "dog50.0 %"])
    canvas = page.locator("[data-tryit-canvas]")
    left, right = (canvas.evaluate(COLOUR_AT, place) for place in ([4, 8], [20, 8]))
    assert left != right
    keys.nth(0).click()
    assert canvas.evaluate(COLOUR_AT, [4, 8]) == [0, 90, 120]
    assert canvas.evaluate(COLOUR_AT, [20, 8]) == right


def test_a_refusal_is_told_in_a_sentence_beside_the_answer_itself(open_page, people, endpoint, engine, complaints):
    problem = "instances[0].data: Is not an image that can be read."
    engine.answer = (400, {"error": {"code": "not_an_image", "message": problem, "fields": {}}})
    page = stage_page(open_page(people.viewer), endpoint)
    page.locator("#try-image").set_input_files({"name": "a.txt", "mimeType": "text/plain", "buffer": b"hello"})
    expect(page.locator("[data-tryit-status]")).to_contain_text("This file is not an image that the model can read.")
    page.get_by_text("Response body").click()
    expect(page.locator("[data-tryit-raw] pre")).to_have_text(json.dumps(engine.answer[1]))
    complaints.remove("Failed to load resource: the server responded with a status of 400 (Bad Request)")


def test_sending_without_an_image_says_so(open_page, people, endpoint, engine):
    page = stage_page(open_page(people.viewer), endpoint)
    engine.answer = (200, [{"score": 1.0, "label": "cat"}])
    page.locator("[data-tryit-sample]").first.click()
    answered(page)
    page.locator("#try-image").set_input_files([])
    page.get_by_role("button", name="Send").click()
    expect(page.locator("[data-tryit-status]")).to_have_text("Choose an image.")


def test_input_json_of_the_chosen_image_is_downloaded(open_page, people, endpoint, engine):
    page = stage_page(open_page(people.viewer), endpoint)
    page.locator("[data-tryit-sample]").first.click()
    answered(page)
    with page.expect_download() as download:
        page.get_by_role("button", name="input.json").click()
    assert download.value.suggested_filename == "input.json"
    content = json.loads(download.value.path().read_text())
    assert content == engine.received[0][1]


def test_recent_requests_stay_open_while_new_ones_come(open_page, people, endpoint):
    page = stage_page(open_page(people.viewer), endpoint)
    page.get_by_text("Recent requests").click()
    recent = page.get_by_role("region", name="Recent requests")
    expect(recent).to_contain_text("No request yet.")
    call = statistics.Call(endpoint.default_stage.pk, timezone.now(), "/inference", 400, 12, error="no instances")
    statistics.write([call])
    expect(recent.get_by_role("row").nth(1)).to_contain_text("no instances", timeout=15_000)
    expect(page.locator(".figures")).to_contain_text("Requests1")


def called(endpoint: Endpoint, minutes_ago: int) -> None:
    at = timezone.now() - timedelta(minutes=minutes_ago)
    statistics.write([statistics.Call(endpoint.default_stage.pk, at, "/inference", 200, 12)])


def test_the_charts_of_a_stage_show_the_chosen_period_and_move_on(open_page, people, endpoint):
    called(endpoint, 30)
    page = stage_page(open_page(people.viewer), endpoint)
    stage = page.locator(".chart-stage").first
    stage.focus()
    page.keyboard.press("End")
    cursor, over = (stage.locator(part).bounding_box() for part in (".u-cursor-x", ".u-over"))
    assert (cursor["x"] - over["x"]) / over["width"] == pytest.approx(0.5, abs=0.05)
    endpoint.default_stage.minutes.update(minute=timezone.now() - timedelta(minutes=61))
    expect(page.get_by_text("No request in this period.")).to_be_visible(timeout=15_000)
    expect(page.locator(".chart-card")).to_have_count(0)


INK_AT_THE_EDGE = """canvas => canvas.getContext("2d").getImageData(0, 0, 2, canvas.height).data.some(value => value)"""


def test_the_numbers_beside_a_chart_are_not_cut_off(open_page, people, endpoint):
    at = timezone.now() - timedelta(minutes=5)
    call = statistics.Call(endpoint.default_stage.pk, at, "/inference", 200, 12, bytes_in=950_739, bytes_out=580)
    statistics.write([call])
    page = stage_page(open_page(people.viewer), endpoint)
    data = page.locator(".chart-card").filter(has=page.get_by_role("heading", name="Data, in B"))
    expect(data.locator(".chart-stage canvas")).to_be_visible()
    assert not data.locator(".chart-stage canvas").evaluate(INK_AT_THE_EDGE)


def test_the_example_in_python_is_a_tab_away(open_page, people, endpoint):
    page = stage_page(open_page(people.viewer), endpoint)
    page.get_by_role("tab", name="curl").focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("tabpanel", name="Python")).to_contain_text("urllib.request")
    expect(page.get_by_role("tabpanel", name="curl")).to_be_hidden()


def test_a_week_is_drawn_by_the_hour_and_told_as_a_table(open_page, people, endpoint, axe):
    called(endpoint, 30)
    page = stage_page(open_page(people.viewer), endpoint)
    page.get_by_role("link", name="7 days").click()
    chart = page.locator(".chart-card").filter(has=page.get_by_role("heading", name="Requests an hour"))
    expect(chart.locator(".chart-stage canvas")).to_be_visible()
    chart.get_by_text("As a table").click()
    expect(chart.get_by_role("row")).to_have_count(2)
    expect(chart.get_by_role("row").nth(1).get_by_role("cell").last).to_have_text("1")
    expect(page.locator("[data-poll]")).to_have_count(0)
    assert axe(page) == []


def test_recent_requests_stay_filtered_while_the_page_asks_again(open_page, people, endpoint):
    called(endpoint, 1)
    page = stage_page(open_page(people.viewer), endpoint)
    page.get_by_text("Recent requests").click()
    page.get_by_role("link", name="Server errors").click()
    recent = page.get_by_role("region", name="Recent requests")
    expect(recent).to_contain_text("No request of this kind.")
    now = timezone.now()
    for status, error in ((200, ""), (503, "the engine is away")):
        statistics.write([statistics.Call(endpoint.default_stage.pk, now, "/inference", status, 12, error=error)])
    expect(recent.get_by_role("row")).to_have_count(2, timeout=15_000)
    expect(recent).to_contain_text("the engine is away")


def test_images_are_kept_after_a_warning_and_seen_in_the_list(open_page, people, endpoint, axe):
    page = stage_page(open_page(people.editor), endpoint)
    page.get_by_text("Recent requests").click()
    page.get_by_role("button", name="Keep images").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("every member of the project can see them")
    dialog.get_by_role("button", name="Keep images").click()
    expect(page.get_by_role("button", name="Stop keeping images")).to_be_visible()
    image = {"body": small_png(), "content_type": "image/png"}
    statistics.write([statistics.Call(endpoint.default_stage.pk, timezone.now(), "/inference", 200, 12, **image)])
    shown = page.get_by_role("img", name=re.compile("Image of the request of"))
    expect(shown).to_have_js_property("naturalWidth", 8, timeout=15_000)
    assert axe(page) == []


def test_the_lines_of_an_engine_s_log_stay_on_the_page(open_page, people, endpoint):
    reason = Message("The model %(model)s cannot be served.\n%(log)s", {"model": "a b", "log": "^" * 400})
    stage = endpoint.default_stage
    Stage.objects.filter(pk=stage.pk).update(status="DEPLOY_FAILED", status_reason=reason.as_json())
    lifecycle.record(stage, "DEPLOY_FAILED", reason=reason)
    page = open_page(people.viewer, viewport={"width": 400, "height": 800})
    stage_page(page, endpoint)
    assert "^^^" in page.locator("main").inner_text()
    page.get_by_text("Events", exact=True).click()
    assert page.evaluate("document.documentElement.scrollWidth") == 400


def test_the_first_wrong_field_of_a_refused_form_has_the_focus(open_page, people, endpoint):
    key, _plain = endpoint.keys.model.objects.create_key(endpoint=endpoint, name="camera")
    page = open_page(people.editor, viewport={"width": 400, "height": 500})
    page.goto(reverse("endpoint", args=[endpoint.project_id, endpoint.pk]) + "?tab=keys")
    page.get_by_label("Name of the new key").fill("camera")
    page.get_by_role("button", name="Create key").click()
    name = page.get_by_label("Name of the new key")
    expect(name).to_be_focused()
    expect(name).to_be_in_viewport()
    page.get_by_text("Rotate, limit").click()
    limit = page.locator(f"#id_calls_per_minute_of_{key.prefix}")
    limit.fill("10000000")
    page.get_by_role("button", name="Set the limit").click()
    expect(limit).to_be_focused()
    expect(limit).to_have_value("10000000")
    expect(page.get_by_text("Choose a number from 1 to 1000000, or none.")).to_be_visible()


def test_a_key_is_rotated_after_a_question(open_page, people, endpoint, axe):
    old, _plain = endpoint.keys.model.objects.create_key(endpoint=endpoint, name="camera")
    page = open_page(people.editor)
    page.goto(reverse("endpoint", args=[endpoint.project_id, endpoint.pk]) + "?tab=keys")
    page.get_by_text("Rotate, limit").click()
    page.get_by_label("A new key; the old one is refused:").select_option("In a day")
    assert axe(page) == []
    page.get_by_role("button", name="Rotate").click()
    page.get_by_role("dialog").get_by_role("button", name="Rotate").click()
    key = page.locator("#new-key").inner_text()
    assert endpoint.keys.exclude(pk=old.pk).get().is_valid(key)
    page.reload()
    assert key not in page.content()
