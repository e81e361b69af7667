"""A running training's notices come to an open page by themselves, and go."""

import pytest
from django.urls import reverse
from playwright.sync_api import Page, expect

from tests.console import served
from training.models import Training

pytestmark = pytest.mark.browser
FLAT = "The training loss has not fallen: it was %(first)s in the first steps, and after %(step)s it is %(last)s."
TRY = (
    "Stop the training and try another learning_rate: a tenth or ten times as much. "
    "Look also whether the labels are right."
)
NOTICE = {
    "code": "loss_not_falling",
    "level": "warning",
    "text": FLAT,
    "params": {"first": "2.31", "step": 300, "last": "2.3"},
    "advice": {"text": TRY, "params": {}},
}


@pytest.mark.parametrize(
    ("language", "words"),
    [("en-GB", "What to do: Stop the training"), ("ko-KR", "조치 방법: 학습을 중지하고")],
)
def test_a_notice_shows_up_while_the_page_is_open_and_goes_when_it_is_over(
    open_page, people, pets, axe, language, words
):
    row = served.training(pets, status="RUNNING", step=300, total_steps=1000, epoch=0.5, eta_seconds=60)
    page: Page = open_page(people.viewer, locale=language, viewport={"width": 400, "height": 800})
    page.goto(reverse("training", args=[row.project_id, row.pk]))
    notice = page.locator("[data-notice=loss_not_falling]")
    expect(notice).to_have_count(0)
    Training.objects.filter(pk=row.pk).update(warnings=[NOTICE])
    expect(notice).to_contain_text(words)
    expect(notice).to_contain_text("2.31")
    assert axe(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    Training.objects.filter(pk=row.pk).update(warnings=[])
    expect(notice).to_have_count(0)
