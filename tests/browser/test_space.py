"""The page of the disk space: what it shows, that deleting works by keyboard, that it fits and reads well."""

import pytest
from django.urls import reverse

from tests.console import served
from training.models import Training

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def trained(home, project) -> Training:
    training = served.training(served.dataset(project), name="a training with a rather long name, 50 letters long")
    for step in (5, 10):
        for name in ("model.safetensors", "trainer_state.json"):
            path = training.checkpoints_folder / f"checkpoint-{step}" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"x" * 400_000)
    (training.folder / "train.log").write_bytes(b"x" * 90_000)
    return training


def test_checkpoints_are_deleted_with_the_keyboard_and_the_page_shows_the_room(open_page, people, project, trained):
    page = open_page(people.editor)
    page.goto(reverse("dashboard", args=[project.pk]))
    page.get_by_role("button", name="Project").click()
    page.get_by_role("link", name="Disk space").click()
    button = page.get_by_role("button", name=f"Delete the checkpoints of {trained.name}")
    button.focus()
    page.keyboard.press("Enter")
    page.get_by_role("dialog").get_by_role("button", name="Delete the checkpoints").click()
    page.get_by_text("are free again").wait_for()
    assert button.count() == 0
    assert not list(trained.checkpoints_folder.iterdir())


@pytest.mark.parametrize(("locale", "scheme", "width"), [("en-GB", "light", 1280), ("ko-KR", "dark", 400)])
def test_it_fits_and_reads_well(open_page, axe, people, project, trained, settings, locale, scheme, width):
    settings.DISK_LOW_BYTES = 10**18
    page = open_page(people.owner, locale=locale, color_scheme=scheme, viewport={"width": width, "height": 900})
    for name in ("space", "project_settings", "dashboard"):
        page.goto(reverse(name, args=[project.pk]))
        assert axe(page) == []
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
