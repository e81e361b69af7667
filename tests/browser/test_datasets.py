"""What only a browser shows: uploading, choosing rows, tabs, dialogs, themes, keyboard, accessibility."""

import re
from pathlib import Path

import pytest
from django.urls import reverse
from playwright.sync_api import Page, expect

from training import ingest, samples
from training.models import Dataset, Event, Experiment, Training

pytestmark = pytest.mark.browser


@pytest.fixture
def zipped(tmp_path: Path) -> Path:
    path = tmp_path / "my shapes.zip"
    samples.write("semantic_segmentation", path)
    return path


@pytest.fixture
def rows(project) -> list[Dataset]:
    values = {"project": project, "algorithm": "image_classification", "status": "READY", "images": {"train": 3}}
    return [Dataset.objects.create(name=f"signs {number:02d}", **values) for number in range(1, 13)]


def test_from_the_zip_to_its_preview(open_page, axe, people, project, zipped):
    page = open_page(people.editor, color_scheme="dark")
    page.goto(reverse("datasets", args=[project.pk]))
    page.get_by_role("link", name="Upload dataset").click()
    page.get_by_role("radio", name="Semantic Segmentation").check()
    expect(page.get_by_text("resources/id2lable.json")).to_be_visible()
    page.locator("#id_file").set_input_files(zipped)
    expect(page.get_by_label("Name")).to_have_value("my shapes")
    page.get_by_role("button", name="Upload").click()

    expect(page.get_by_role("heading", name="my shapes")).to_be_visible()
    expect(page.locator("#detail").get_by_text("VALIDATING").first).to_be_visible()
    ingest.run(Dataset.objects.get().pk)
    expect(page.locator("#detail").get_by_text("READY").first).to_be_visible()  # by itself: the page polls
    expect(page.locator("#rows").get_by_text("READY")).to_be_visible()

    page.get_by_role("link", name="Preview").click()
    expect(page).to_have_url(re.compile(r"\?tab=preview$"))
    first = page.locator(".console-gallery img").first
    expect(first).to_have_js_property("complete", True)
    assert first.evaluate("image => image.naturalWidth") == 128
    expect(page.get_by_label("Legend")).to_contain_text("circle")
    assert axe(page) == []
    page.get_by_role("link", name="Hide the labels").click()
    expect(page.get_by_label("Legend")).to_have_count(0)
    page.reload()
    expect(page.get_by_role("link", name="Show the labels")).to_be_visible()


def test_a_refused_upload_keeps_the_chosen_file(open_page, complaints, people, project, rows, zipped):
    page = open_page(people.editor)
    page.goto(reverse("dataset_create", args=[project.pk]))
    page.get_by_role("radio", name="Semantic Segmentation").check()
    page.locator("#id_file").set_input_files(zipped)
    page.get_by_label("Name").fill("signs 01")
    page.get_by_role("button", name="Upload").click()
    expect(page.locator("#id_name_error")).to_be_visible()
    expect(page.locator("#drop-name")).to_have_text("my shapes.zip")
    page.get_by_label("Name").fill("free")
    page.get_by_role("button", name="Upload").click()
    expect(page.get_by_role("heading", name="free")).to_be_visible()
    assert Dataset.objects.filter(name="free").exists()
    complaints.clear()  # the browser logs the 400


def test_an_empty_file_is_refused_below_its_box(open_page, axe, complaints, people, project, tmp_path):
    (tmp_path / "empty.zip").touch()
    page = open_page(people.editor, viewport={"width": 400, "height": 800})
    page.goto(reverse("dataset_create", args=[project.pk]))
    page.get_by_role("radio", name="Semantic Segmentation").check()
    page.locator("#id_file").set_input_files(tmp_path / "empty.zip")
    page.get_by_role("button", name="Upload").click()
    expect(page.locator(".console-drop + #id_file_error")).to_have_text("The file is empty.")
    assert axe(page) == []  # with the layout, which is wider than the screen
    complaints.clear()  # the browser logs the 400


def test_a_file_over_the_limit_is_not_even_sent(open_page, people, project, zipped, settings):
    settings.UPLOAD_MAX_BYTES = 1000
    page = open_page(people.editor)
    page.goto(reverse("dataset_create", args=[project.pk]))
    page.get_by_role("radio", name="Semantic Segmentation").check()
    page.locator("#id_file").set_input_files(zipped)
    page.get_by_role("button", name="Upload").click()
    expect(page.get_by_role("alert")).to_contain_text("larger than the 1000\xa0bytes")
    assert not Dataset.objects.exists()


def go_back(page: Page) -> None:
    """Page.go_back() gives up when the page answers by loading itself again, as ours does."""
    page.evaluate("setTimeout(() => history.back())")


def test_a_row_opens_its_tabs_below_and_the_back_button_goes_back(open_page, people, project, rows):
    page = open_page(people.viewer)
    page.goto(reverse("datasets", args=[project.pk]))
    page.get_by_role("cell", name="READY").first.click()  # anywhere in the row
    expect(page).to_have_url(re.compile(reverse("dataset", args=[project.pk, rows[-1].pk])))
    expect(page).to_have_title(re.compile("^signs 12 "))
    expect(page.locator("tr.is-chosen")).to_contain_text("signs 12")
    page.get_by_role("link", name="History").click()
    expect(page.get_by_role("link", name="History")).to_have_attribute("aria-current", "page")
    page.get_by_role("link", name="Name").click()  # sorting leaves it open
    expect(page.locator("tr.is-chosen")).to_have_count(0)  # its row is on the next page now
    expect(page).to_have_url(re.compile(rows[-1].pk + r"/\?order=name&tab=history$"))
    go_back(page)
    expect(page.locator("tr.is-chosen")).to_contain_text("signs 12")
    expect(page.get_by_role("link", name="History")).to_have_attribute("aria-current", "page")
    go_back(page)
    expect(page.get_by_role("link", name="Overview")).to_have_attribute("aria-current", "page")
    go_back(page)
    expect(page.locator("#detail h2")).to_have_count(0)
    expect(page).to_have_url(re.compile(reverse("datasets", args=[project.pk]) + "$"))


def test_one_row_after_the_other_opens_while_the_list_asks_for_itself(open_page, people, project, rows):
    Dataset.objects.filter(pk=rows[-1].pk).update(status="VALIDATING")
    page = open_page(people.viewer)
    page.goto(reverse("datasets", args=[project.pk]))
    for row in (rows[-1], rows[-2], rows[-1]):
        page.get_by_role("link", name=row.name).click()
        expect(page.locator("#detail h2")).to_have_text(row.name)


def test_the_tabs_close_when_what_they_show_is_deleted(open_page, complaints, people, project, rows):
    Dataset.objects.filter(pk=rows[0].pk).update(status="DELETE_IN_PROGRESS")
    page = open_page(people.viewer)
    page.goto(reverse("dataset", args=[project.pk, rows[0].pk]))
    expect(page.get_by_role("heading", name="signs 01")).to_be_visible()
    with page.expect_response(lambda response: response.status == 404):
        Dataset.objects.filter(pk=rows[0].pk).delete()
    expect(page.get_by_role("heading", name="signs 01")).to_have_count(0)
    expect(page.locator("#toast")).to_have_text("It was deleted.")
    complaints.clear()  # the browser logs the 404


def test_search_narrows_while_typing_and_pages_turn(open_page, people, project, rows):
    page = open_page(people.viewer)
    page.goto(reverse("datasets", args=[project.pk]))
    page.get_by_role("link", name="2", exact=True).click()
    expect(page.locator("tr[data-row]")).to_have_count(2)
    search = page.get_by_role("searchbox")
    search.press_sequentially("signs 0")
    expect(page.locator("tr[data-row]")).to_have_count(9)
    expect(search).to_be_focused()
    expect(page).to_have_url(re.compile("search=signs"))
    page.get_by_role("link", name="Name").click()
    expect(page.locator("tr[data-row]").first).to_contain_text("signs 01")
    search.fill("signs")  # stays sorted
    expect(page.locator("tr[data-row]")).to_have_count(10)
    expect(page.locator("tr[data-row]").first).to_contain_text("signs 01")
    search.fill("nothing like it")
    expect(page.get_by_text("Nothing matches.")).to_be_visible()


def test_deleting_asks_first_and_names_what_is_in_the_way(open_page, axe, people, project, rows):
    busy = rows[-1]
    of = {"project": project, "algorithm": busy.algorithm}
    Training.objects.create(name="busy run", dataset=busy, dataset_name=busy.name, status="RUNNING", **of)
    page = open_page(people.editor)
    page.goto(reverse("dataset", args=[project.pk, busy.pk]))
    delete = page.locator("#detail").get_by_role("button", name="Delete")
    delete.click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Delete the dataset signs 12?")
    assert axe(page) == []
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(delete).to_be_focused()
    delete.click()
    dialog.get_by_role("button", name="Delete").click()
    expect(page.get_by_role("alert")).to_contain_text("busy run")

    page.goto(reverse("dataset", args=[project.pk, rows[0].pk]))
    page.locator("#detail").get_by_role("button", name="Delete").click()
    dialog.get_by_role("button", name="Delete").click()
    expect(page.locator("#messages")).to_contain_text("signs 01 is being deleted.")


def test_polling_goes_on_and_takes_no_focus(open_page, people, project, rows):
    Dataset.objects.filter(pk=rows[0].pk).update(status="VALIDATING")
    page = open_page(people.editor)
    page.goto(reverse("dataset", args=[project.pk, rows[0].pk]))
    delete = page.locator("#detail").get_by_role("button", name="Delete")
    delete.focus()
    Dataset.objects.filter(pk=rows[0].pk).update(progress={"phase": "images", "done": 2, "total": 5})
    expect(page.get_by_text("2 of 5")).to_be_visible()
    expect(delete).to_be_focused()


def test_the_theme_follows_the_system_until_one_is_chosen(open_page, people, project):
    page = open_page(people.viewer, color_scheme="dark")
    page.goto(reverse("dashboard", args=[project.pk]))
    html = page.locator("html")
    expect(html).to_have_attribute("data-bs-theme", "dark")
    page.get_by_role("button", name="Switch between light and dark").click()
    expect(html).to_have_attribute("data-bs-theme", "light")
    page.reload()
    expect(html).to_have_attribute("data-bs-theme", "light")


def test_the_menu_of_a_narrow_screen(open_page, people, project):
    page = open_page(people.editor, viewport={"width": 400, "height": 800})
    page.goto(reverse("dashboard", args=[project.pk]))
    link = page.get_by_role("navigation", name="Main menu").get_by_role("link", name="Datasets")
    expect(link).to_be_hidden()
    page.get_by_role("button", name="Menu").click()
    link.click()
    expect(page.get_by_role("heading", level=1, name="Datasets")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 400


def test_the_keyboard_alone_reaches_a_dataset(open_page, people, project, rows):
    page = open_page(people.viewer)
    page.goto(reverse("datasets", args=[project.pk]))
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    link = page.get_by_role("link", name="signs 12")
    for _ in range(20):
        page.keyboard.press("Tab")
        if link.evaluate("link => link === document.activeElement"):
            break
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="signs 12")).to_be_visible()


def test_without_scripts_everything_still_works(open_page, people, project, rows, zipped):
    page = open_page(people.editor, java_script_enabled=False)
    page.goto(reverse("datasets", args=[project.pk]))
    page.get_by_role("link", name="signs 12").click()
    expect(page.get_by_role("heading", name="signs 12")).to_be_visible()
    page.get_by_role("link", name="Upload dataset").click()
    page.get_by_role("radio", name="Semantic Segmentation").check()
    page.locator("#id_file").set_input_files(zipped)
    page.get_by_role("button", name="Upload").click()
    expect(page.get_by_role("heading", name="my shapes")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_are_free_of_what_axe_finds(open_page, axe, people, project, rows, scheme):
    """Colour contrast, labels, roles, order of headings, in both themes."""
    problem = {"code": "x", "level": "error", "file": "a.png", "message": "Broken.", "text": "Broken.", "params": {}}
    Dataset.objects.filter(pk=rows[0].pk).update(
        counts={"train": {"stop": 3}}, labels=[{"id": 0, "name": "stop"}], zip_sha256="0" * 64, report=[problem]
    )
    Experiment.objects.create(project=project, name="first")
    of = {"project": project, "algorithm": rows[0].algorithm, "dataset_name": "signs 01"}
    for number, status in enumerate(Training.Status.values):
        Training.objects.create(name=f"run {number}", status=status, step=3, total_steps=9, **of)
    Event.objects.create(project=project, kind="dataset", object_id="gone", object_name="gone", to_status="READY")
    chosen = reverse("dataset", args=[project.pk, rows[0].pk])
    addresses = [
        *(reverse(name, args=[project.pk]) for name in ("dashboard", "datasets", "dataset_create", "experiments")),
        *(f"{chosen}?tab={tab}" for tab in ("overview", "report", "history")),
        reverse("project_settings", args=[project.pk]),
        reverse("experiment_create", args=[project.pk]),
        reverse("tokens"),
    ]
    page = open_page(people.owner, color_scheme=scheme)
    found = {address: axe(_settled(page, address)) for address in addresses}
    stranger = open_page(color_scheme=scheme)
    found["login"] = axe(_settled(stranger, "/login/"))
    assert {address: problems for address, problems in found.items() if problems} == {}


def _settled(page: Page, address: str) -> Page:
    page.goto(address)
    page.wait_for_load_state("networkidle")
    return page
