"""What only a browser shows of trainings and stages: live charts and logs, the form, trying a stage, accessibility."""

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import Page, expect

from endpoints import routes, statistics
from endpoints.models import Endpoint
from tests.console import served
from tests.console.small_engine import Engine
from training.models import Dataset, MetricPoint, Training

pytestmark = pytest.mark.browser


@pytest.fixture
def pets(home, project) -> Dataset:
    return served.with_images(served.dataset(project), "test")


def measured(row: Training, steps: range) -> None:
    MetricPoint.objects.bulk_create(
        MetricPoint(training=row, name=name, step=step, epoch=step / 100, value=1 / step)
        for step in steps
        for name in ("loss", "learning_rate")
    )


@pytest.fixture
def running(pets) -> Training:
    row = served.training(pets, status="RUNNING", step=40, total_steps=100, epoch=0.4, eta_seconds=60)
    measured(row, range(10, 50, 10))
    row.folder.mkdir(parents=True)
    row.log_path.write_text("".join(f"line {number}\n" for number in range(200)))
    return row


def of(row: Training) -> str:
    return reverse("training", args=[row.project_id, row.pk])


def test_charts_grow_while_the_training_runs_and_survive_its_polling(open_page, people, running):
    page: Page = open_page(people.viewer)
    page.goto(of(running))
    loss = page.locator(".chart-card").filter(has=page.get_by_role("heading", name="Loss"))
    expect(loss.locator("canvas")).to_be_visible()
    loss.get_by_text("As a table").click()
    rows = loss.locator("tbody tr")
    expect(rows).to_have_count(4)
    loss.get_by_role("button", name=re.compile("training")).click()  # hides the series
    loss.evaluate("card => { card.dataset.mark = 'the same' }")

    measured(running, range(50, 70, 10))
    Training.objects.filter(pk=running.pk).update(step=60)
    expect(page.locator("#live")).to_contain_text("60 / 100")
    expect(rows).to_have_count(6)
    expect(loss).to_have_attribute("data-mark", "the same")
    expect(loss.get_by_role("button", name=re.compile("training"))).to_have_attribute("aria-pressed", "false")

    Training.objects.filter(pk=running.pk).update(status="COMPLETE", step=100)
    expect(page.locator("#detail").get_by_text("COMPLETE", exact=True)).to_be_visible()
    expect(page.locator("#live")).not_to_have_attribute("hx-trigger", re.compile("."))


def test_a_zoom_stays_while_points_come_and_a_double_click_ends_it(open_page, people, running):
    page: Page = open_page(people.viewer)
    page.goto(of(running))
    loss = page.locator(".chart-card").filter(has=page.get_by_role("heading", name="Loss"))
    loss.get_by_text("As a table").click()
    drawing = loss.locator("canvas")
    whole = drawing.evaluate("canvas => canvas.toDataURL()")
    loss.locator(".chart-stage").scroll_into_view_if_needed()
    box = loss.locator(".u-over").bounding_box()
    left, right, middle = box["x"] + box["width"] * 0.2, box["x"] + box["width"] * 0.6, box["y"] + box["height"] / 2
    page.mouse.move(left, middle)
    page.mouse.down()
    page.mouse.move(right, middle, steps=4)
    page.mouse.up()
    zoomed = drawing.evaluate("canvas => canvas.toDataURL()")
    assert zoomed != whole
    measured(running, range(50, 70, 10))
    expect(loss.locator("tbody tr")).to_have_count(6)
    assert drawing.evaluate("canvas => canvas.toDataURL()") == zoomed
    page.mouse.dblclick(left, middle)
    assert drawing.evaluate("canvas => canvas.toDataURL()") not in (whole, zoomed)


def test_the_arrow_keys_read_a_chart(open_page, people, running):
    page: Page = open_page(people.viewer)
    page.goto(of(running))
    stage = page.locator(".chart-stage").first
    stage.focus()
    page.keyboard.press("Home")
    expect(stage.locator(".chart-tip")).to_contain_text("Step 10")
    page.keyboard.press("ArrowRight")
    expect(stage.locator(".chart-tip")).to_contain_text("Step 20")
    expect(stage.locator(".chart-tip")).to_contain_text("0.05")
    page.keyboard.press("Escape")
    expect(stage.locator(".chart-tip")).to_be_hidden()


def test_the_log_follows_its_end_and_can_be_searched(open_page, people, running):
    page: Page = open_page(people.viewer)
    page.goto(of(running))
    page.get_by_role("link", name="Log", exact=True).click()
    log = page.locator("pre.log-text")
    at_end = "log => log.scrollHeight - log.scrollTop - log.clientHeight < 5"
    expect(log).to_contain_text("line 199")
    assert log.evaluate(at_end)
    with running.log_path.open("a") as file:
        file.write("the newest line\n")
    expect(log).to_contain_text("the newest line")
    assert log.evaluate(at_end)

    page.get_by_role("searchbox", name="Search the whole log").fill("line 17")
    expect(log).to_have_text(" ".join(f"line {number}" for number in (17, *range(170, 180))))
    expect(page.get_by_role("searchbox", name="Search the whole log")).to_be_focused()
    expect(page).to_have_url(re.compile(r"q=line%2017"))


def test_the_form_hints_while_a_value_is_typed_and_never_blocks(open_page, people, project, pets):
    page: Page = open_page(people.editor)
    page.goto(reverse("training_create", args=[project.pk]))
    rate = page.get_by_label("learning_rate")
    hint = page.get_by_text(re.compile("is unlikely to train well"))
    expect(hint).to_have_text(re.compile(r"^0\.1 is unlikely"))
    rate.fill("0.001")
    expect(hint).to_have_count(0)
    rate.fill("7")
    expect(hint).to_have_text(re.compile(r"^7 is unlikely"))
    page.get_by_label("Name", exact=True).fill("run")
    page.get_by_label("Dataset").select_option(label="pets")
    page.get_by_role("button", name="Create training").click()
    expect(page.locator("#detail").get_by_text("CREATE REQUESTED")).to_be_visible()
    assert Training.objects.get().hyperparameters["learning_rate"] == 7


def test_another_algorithm_changes_what_depends_on_it_only(open_page, people, project, pets):
    served.dataset(project, "roads", "semantic_segmentation")
    page: Page = open_page(people.editor)
    page.goto(reverse("training_create", args=[project.pk]))
    page.get_by_label("Name", exact=True).fill("typed before")
    page.get_by_label("Dataset").select_option(label="pets")
    expect(page.get_by_role("radio", name=re.compile("Image Classification"))).to_be_checked()
    expect(page.get_by_label("input_size")).to_have_value("28")
    page.get_by_role("radio", name=re.compile("Semantic Segmentation")).check()
    expect(page.get_by_label("input_size")).to_have_count(0)
    expect(page.get_by_label("learning_rate")).to_have_value("0.0002")
    expect(page.get_by_label("Name", exact=True)).to_have_value("typed before")
    expect(page.get_by_label("Dataset").locator("option")).to_have_text(["Choose a dataset", "roads"])


def test_the_form_works_without_javascript(open_page, people, project, pets):
    page: Page = open_page(people.editor, java_script_enabled=False)
    page.goto(reverse("training_create", args=[project.pk]))
    page.get_by_label("Name", exact=True).fill("plain")
    page.get_by_role("radio", name=re.compile("Object Detection")).check(force=True)
    page.get_by_role("button", name="Show its hyperparameters").click()
    expect(page.get_by_label("threshold")).to_have_value("0.5")
    expect(page.get_by_label("Name", exact=True)).to_have_value("plain")


@pytest.fixture
def endpoint(pets) -> Endpoint:
    return served.endpoint(served.model(served.training(pets, "trained")))


@pytest.fixture
def engine(endpoint) -> Iterator[Engine]:
    """In the place of a real one, which the journey has: it answers what a test tells it to."""
    import threading

    with Engine(str(routes.socket_path(endpoint.default_stage.resources.get().pk))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def stage_page(page: Page, endpoint: Endpoint) -> Page:
    page.goto(reverse("stage", args=[endpoint.project_id, endpoint.pk, endpoint.default_stage.pk]))
    return page


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


def test_no_chart_stands_alone_in_its_row(open_page, people, pets):
    row = served.training(pets)
    MetricPoint.objects.bulk_create(
        MetricPoint(training=row, name=name, step=step, epoch=1, value=0.5)
        for name in ("loss", "eval_accuracy", "learning_rate")
        for step in (1, 2)
    )
    page = open_page(people.viewer, viewport={"width": 1280, "height": 800})
    page.goto(of(row))
    expect(page.locator(".chart-card")).to_have_count(3)
    first, second, third = (page.locator(".chart-card").nth(place).bounding_box() for place in range(3))
    assert second["y"] == third["y"] > first["y"]
    assert first["width"] > 2 * second["width"]


def test_the_example_in_python_is_a_tab_away(open_page, people, endpoint):
    page = stage_page(open_page(people.viewer), endpoint)
    page.get_by_role("tab", name="curl").focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("tabpanel", name="Python")).to_contain_text("urllib.request")
    expect(page.get_by_role("tabpanel", name="curl")).to_be_hidden()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_nobody_is_shut_out(open_page, people, running, endpoint, axe, theme):
    page: Page = open_page(people.editor, color_scheme=theme)
    project = running.project_id
    addresses = [
        of(running),
        f"{of(running)}?tab=hyperparameters",
        f"{of(running)}?tab=log",
        reverse("training_create", args=[project]),
        reverse("model", args=[project, endpoint.default_stage.resources.get().model_id]),
        reverse("model_create", args=[project]),
        reverse("endpoint", args=[project, endpoint.pk]),
        f"{reverse('endpoint', args=[project, endpoint.pk])}?tab=keys",
        reverse("endpoint_create", args=[project]),
        reverse("stage", args=[project, endpoint.pk, endpoint.default_stage.pk]),
    ]
    found = {}
    for address in addresses:
        page.goto(address)
        page.wait_for_load_state("networkidle")
        found[address] = axe(page)
    assert {address: problems for address, problems in found.items() if problems} == {}


def test_the_actions_of_a_row_are_in_view(open_page, people, project):
    data = served.dataset(project, "a_dataset_with_a_long_name")
    for status in ("CREATE_REQUESTED", "STOPPED", "COMPLETE"):
        made = served.training(data, f"trained_for_{status.lower()}", status, started_at=timezone.now())
    served.model(made, "made_of_the_last_of_these", disk_bytes=714_300)
    page: Page = open_page(people.editor, viewport={"width": 1280, "height": 800})
    for name in ("datasets", "trainings", "models"):
        page.goto(reverse(name, args=[project.pk]))
        table = page.locator("#rows .table-responsive")
        assert table.evaluate("table => table.scrollWidth - table.clientWidth") <= 0, name


@pytest.mark.parametrize("width", [400, 1280])
def test_nothing_sticks_out_of_the_page(open_page, people, running, endpoint, width):
    page: Page = open_page(people.editor, viewport={"width": width, "height": 800})
    for address in (of(running), reverse("endpoint", args=[running.project_id, endpoint.pk]) + "?tab=keys"):
        page.goto(address)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert stage_page(page, endpoint).evaluate("document.documentElement.scrollWidth") <= width
