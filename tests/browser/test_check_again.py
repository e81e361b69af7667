"""A dataset that the console failed to check: the reason and the way on, by pointer, in both languages."""

import os
from pathlib import Path

import pytest
from django.urls import reverse

from tests.corpus import classification_zip
from training import ingest, services
from training.models import Dataset

pytestmark = pytest.mark.django_db(transaction=True)
SHOTS = os.environ.get("SCREENSHOTS")


@pytest.fixture
def unchecked(people, project, home) -> Dataset:
    """INVALID because its worker ended each time."""
    with classification_zip(home / "a.zip").open("rb") as file:
        made = services.dataset_create(
            project=project, user=people.editor, name="pets", algorithm="image_classification", file=file
        )
    (made.folder / "attempts").write_bytes(b"." * ingest.MAX_ATTEMPTS)
    ingest.run(made.pk)
    return made


@pytest.mark.parametrize(("language", "button"), [("en-GB", "Check again"), ("ko-KR", "다시 검사")])
def test_the_reason_names_the_button_that_checks_it_again(open_page, people, project, unchecked, axe, language, button):
    page = open_page(people.editor, locale=language, viewport={"width": 1100, "height": 700})
    page.goto(reverse("dataset", args=[project.pk, unchecked.pk]))
    assert f"“{button}”" in page.locator(".console-detail-reason").inner_text()
    assert axe(page) == []
    if SHOTS:
        page.screenshot(path=Path(SHOTS, f"check-again-{language}.png"), full_page=True)
    page.get_by_role("button", name=button).click()
    page.locator(".console-working").wait_for()
    ingest.run(unchecked.pk)
    page.locator("#detail").get_by_text("READY").first.wait_for()  # by itself: the page polls
    assert page.get_by_role("button", name=button).count() == 0
