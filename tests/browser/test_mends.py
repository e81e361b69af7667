"""The doctor's report before a person: filters and mends by keyboard and pointer, light and dark, small and Korean."""

import os
from pathlib import Path

import pytest
from django.urls import reverse
from PIL import Image

from tests.corpus import classification_files, encoded, picture, write_zip
from tests.training.test_doctor import photo
from training import ingest, services
from training.models import Dataset

pytestmark = pytest.mark.django_db(transaction=True)
SHOTS = os.environ.get("SCREENSHOTS")


@pytest.fixture
def ill(people, project, home) -> Dataset:
    """READY, with something of every level."""
    files = classification_files(labels=("cat", "dog", "T shirt", "t-shirt"))
    for number in range(3):
        files[f"train/cat/photo-{number}.png"] = encoded(photo(number))
        files[f"train/cat/photo-{number}-again.png"] = encoded(photo(number))
        files[f"validation/cat/saved-{number + 5}.jpg"] = encoded(photo(number + 5), "JPEG")
        files[f"train/cat/saved-{number + 5}.png"] = encoded(photo(number + 5))
    files["train/dog/leak.png"] = encoded(picture(1, 100))
    files["train/bird/"] = b""
    exif = Image.Exif()
    exif[0x0112] = 6
    files["train/dog/turned.jpg"] = encoded(photo(9), "JPEG", exif=exif)
    with write_zip(home / "a.zip", files).open("rb") as file:
        made = services.dataset_create(
            project=project, user=people.editor, name="pets", algorithm="image_classification", file=file
        )
    ingest.run(made.pk)
    made.refresh_from_db()
    return made


def shoot(page, name: str) -> None:
    if SHOTS:
        page.screenshot(path=Path(SHOTS, f"{name}.png"), full_page=True)


def test_from_the_report_to_a_mended_version(open_page, people, project, ill, axe):
    page = open_page(people.editor)
    page.goto(reverse("dataset", args=[project.pk, ill.pk]) + "?tab=report")
    assert (
        page.locator(".console-shots img").first.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0
    )
    shoot(page, "report")
    assert axe(page) == []
    page.locator("#level-only-warning").focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**level=warning**")
    assert page.locator(".console-problems").count() == 1
    for label in ("Remove empty label folders", "Turn the images upright"):
        page.get_by_label(label).uncheck()
    page.locator("#mend").click()
    page.wait_for_url(lambda url: ill.pk not in url)
    made = Dataset.objects.get(based_on=ill)
    assert made.mends == ["leakage_remove", "duplicate_remove"]
    ingest.run(made.pk)
    page.locator(".console-detail .status-green, .console-detail .badge", has_text="READY").first.wait_for()
    page.goto(reverse("dataset", args=[project.pk, made.pk]))
    assert page.locator(".console-versions li").count() == 2
    shoot(page, "versions")
    assert axe(page) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_small_screen_in_korean_nothing_is_wider_than_it(open_page, people, project, ill, axe, scheme):
    page = open_page(people.editor, locale="ko-KR", color_scheme=scheme, viewport={"width": 400, "height": 800})
    page.goto(reverse("dataset", args=[project.pk, ill.pk]) + "?tab=report")
    page.get_by_role("button", name="수정된 버전 만들기").wait_for()
    shoot(page, f"report-ko-{scheme}")
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    assert axe(page) == []
