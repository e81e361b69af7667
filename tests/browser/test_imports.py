"""Choosing what to import, with a mouse, a keyboard and a screen reader."""

from pathlib import Path

import pytest
from django.urls import reverse
from playwright.sync_api import expect

from tests import corpus
from training import imports, ingest
from training.models import Dataset

pytestmark = pytest.mark.browser


@pytest.fixture
def root(settings, home, tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("shared")
    settings.IMPORT_ROOTS = [str(root)]
    for name, content in corpus.classification_files().items():
        (root / "animals/pets" / name).parent.mkdir(parents=True, exist_ok=True)
        (root / "animals/pets" / name).write_bytes(content)
    return root


@pytest.mark.parametrize("locale", ["en-GB", "ko-KR"])
def test_from_the_upload_page_to_the_imported_dataset(open_page, axe, people, project, root, locale):
    page = open_page(people.editor, locale=locale, viewport={"width": 400, "height": 900})
    page.goto(reverse("dataset_create", args=[project.pk]))
    page.locator("a[href$='/datasets/import/']").click()
    for name in (str(root), "animals", "pets"):
        page.get_by_role("link", name=name, exact=True).click()
    assert axe(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.locator("[name=algorithm]").select_option("image_classification")
    page.locator("form.card [type=submit]").click()
    expect(page.get_by_role("heading", name="pets")).to_be_visible()
    made = Dataset.objects.get()
    imports.run(made.pk)
    ingest.run(made.pk)
    expect(page.locator("#detail").get_by_text("READY").first).to_be_visible()  # by itself: the page polls
    assert axe(page) == []
