"""The traffic of an endpoint in Chromium: start, watch, promote."""

import re

import pytest
from django.urls import reverse
from playwright.sync_api import expect

from endpoints.models import Rollout, Stage
from endpoints.services.rollouts import rollout_count
from models_registry.models import Model
from tests.console import served

pytestmark = pytest.mark.browser


@pytest.fixture
def canary(endpoint) -> Stage:
    return served.stage(endpoint, Model.objects.get(), "canary")


def side(calls: int, errors: int = 0) -> dict:
    return {"calls": calls, "errors": errors, "latencies": {"8": calls - errors}}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_stage_is_tried_watched_and_promoted(open_page, axe, people, endpoint, canary, scheme):
    page = open_page(people.editor, color_scheme=scheme)
    page.goto(reverse("endpoint", args=[endpoint.project_id, endpoint.pk]))
    page.get_by_role("link", name="Traffic").click()
    page.get_by_label("Stage", exact=True).select_option("canary")
    assert axe(page) == []
    page.get_by_role("checkbox", name="Promote it, or roll it back, by itself").check()
    page.get_by_role("button", name="Start").click()
    expect(page.get_by_text("It answers 10 % of the calls.")).to_be_visible()
    rollout = Rollout.objects.get()
    rollout_count({rollout.pk: {"default": side(180), "candidate": side(20)}})
    row = page.locator(".rollout").get_by_role("row", name="Calls")
    expect(row).to_have_text("Calls18020")  # it has asked for itself
    expect(page.get_by_role("progressbar")).to_have_attribute("aria-valuenow", "20")
    assert axe(page) == []
    page.get_by_role("button", name="Promote").click()
    page.get_by_role("dialog").get_by_role("button", name="Promote").click()
    expect(page.get_by_role("row", name="canary").get_by_text("PROMOTED")).to_be_visible()
    assert axe(page) == []
    endpoint.refresh_from_db()
    assert endpoint.default_stage.name == "canary"


def test_page_tells_when_the_rule_has_decided(open_page, people, endpoint, canary):
    rollout = Rollout.objects.create(endpoint=endpoint, stage=canary, mode="canary", share=50, automatic=True)
    page = open_page(people.viewer)
    page.goto(reverse("endpoint", args=[endpoint.project_id, endpoint.pk]) + "?tab=traffic")
    expect(page.get_by_text("It answers 50 % of the calls.")).to_be_visible()
    rollout_count({rollout.pk: {"candidate": side(5, 5)}})
    expect(page.get_by_text("5 of 5 calls failed, more than 1 %.")).to_be_visible()
    expect(page.get_by_text("ROLLED BACK")).to_be_visible()


def test_figures_that_arrive_while_the_question_is_read_do_not_take_the_answer_with_them(
    open_page, people, endpoint, canary
):
    page = open_page(people.editor)
    page.goto(reverse("endpoint", args=[endpoint.project_id, endpoint.pk]) + "?tab=traffic")
    page.get_by_label("Stage", exact=True).select_option("canary")
    page.get_by_role("button", name="Start").click()
    held = []
    page.route(re.compile("/rollouts/"), lambda route: route.continue_() if held else held.append(route))
    with page.expect_request(lambda request: "/rollouts/" in request.url):
        pass  # the figures have asked for themselves, and the answer takes its time
    page.get_by_role("button", name="Promote").click()
    with page.expect_request_finished(lambda request: "/rollouts/" in request.url):
        held[0].continue_()
    page.get_by_role("dialog").get_by_role("button", name="Promote").click()
    expect(page.get_by_role("row", name="canary").get_by_text("PROMOTED")).to_be_visible()
