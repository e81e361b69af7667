"""What only a browser shows of trainings and stages: live charts and logs, the form, trying a stage, accessibility."""

import re
import time

import pytest
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import Page, Route, expect

from tests.console import served
from training.models import MetricPoint, Training

pytestmark = pytest.mark.browser


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


def slowly(route: Route) -> None:
    """Let the answer take its time, as on a busy machine."""
    time.sleep(0.5)
    route.continue_()


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


def test_what_is_chosen_while_the_form_changes_is_not_lost(open_page, people, project, pets):
    roads = served.dataset(project, "roads", "semantic_segmentation")
    page: Page = open_page(people.editor)
    page.goto(reverse("training_create", args=[project.pk]))
    page.route("**/trainings/new/?*", slowly)
    page.get_by_role("radio", name=re.compile("Semantic Segmentation")).check()
    page.get_by_label("Dataset").select_option(label="roads")
    expect(page.get_by_role("radio", name=re.compile("Semantic Segmentation"))).to_be_checked()
    expect(page.get_by_label("learning_rate")).to_have_value("0.0002")
    expect(page.get_by_label("Dataset")).to_have_value(roads.pk)


def test_the_form_works_without_javascript(open_page, people, project, pets):
    page: Page = open_page(people.editor, java_script_enabled=False)
    page.goto(reverse("training_create", args=[project.pk]))
    page.get_by_label("Name", exact=True).fill("plain")
    page.get_by_role("radio", name=re.compile("Object Detection")).check(force=True)
    page.get_by_role("button", name="Show its hyperparameters").click()
    expect(page.get_by_label("threshold")).to_have_value("0.5")
    expect(page.get_by_label("Name", exact=True)).to_have_value("plain")


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
    keys = reverse("endpoint", args=[running.project_id, endpoint.pk]) + "?tab=keys"
    stage = reverse("stage", args=[endpoint.project_id, endpoint.pk, endpoint.default_stage.pk])
    for address in (of(running), keys, stage):
        page.goto(address)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
