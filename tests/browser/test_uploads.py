"""The upload page on a bad line: cuts, pauses, a page that was closed, an upload that was deleted meanwhile."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.conf import settings as django_settings
from django.test import Client
from django.urls import reverse
from playwright.sync_api import Browser, Page, Route, expect

from tests import corpus
from tests.cutting import CuttingProxy, cutting_proxy
from training.models import Dataset

pytestmark = pytest.mark.browser


@pytest.fixture
def zipped(tmp_path: Path) -> Path:
    return corpus.classification_zip(tmp_path / "road signs.zip", train=40, size=160)


@pytest.fixture
def open_upload(chromium: Browser, live_server, home, people, project) -> Iterator[Callable[..., Page]]:
    """open_upload(url, locale=...) is the editor's upload page at the address `url` of the console or of a proxy."""
    client = Client()
    client.force_login(people.editor)
    name = django_settings.SESSION_COOKIE_NAME
    contexts = []

    def opened(url: str, **options) -> Page:
        context = chromium.new_context(**({"locale": "en-GB"} | options))
        contexts.append(context)
        context.add_cookies([{"name": name, "value": client.cookies[name].value, "url": url}])
        page = context.new_page()
        page.goto(url + reverse("dataset_create", args=[project.pk]))
        return page

    yield opened
    for context in contexts:
        context.close()


def fill(page: Page, path: Path) -> None:
    page.get_by_role("radio", name="Image Classification").check()
    page.locator("#id_file").set_input_files(path)


def interrupted(page: Page, proxy: CuttingProxy, path: Path) -> None:
    """Send until the line is dead for good."""
    proxy.on_cut = proxy.stop
    fill(page, path)
    page.get_by_role("button", name="Upload").click()
    expect(page.locator("#upload-text")).to_contain_text("The connection is lost", timeout=20_000)


def no_piece_passes(page: Page) -> None:
    def decide(route: Route) -> None:
        route.abort() if route.request.method == "PATCH" else route.continue_()

    page.route("**/datasets/upload/*", decide)


def test_it_goes_on_by_itself_after_the_line_was_cut(open_upload, live_server, zipped):
    with cutting_proxy(live_server.url, zipped.stat().st_size, cuts=3) as proxy:
        page = open_upload(proxy.url)
        fill(page, zipped)
        page.get_by_role("button", name="Upload").click()
        expect(page.get_by_role("heading", name="road signs")).to_be_visible(timeout=30_000)
        assert proxy.cut == 3
    dataset = Dataset.objects.get()
    assert (dataset.status, dataset.upload_path.read_bytes()) == ("VALIDATING", zipped.read_bytes())


def test_a_line_that_is_dead_without_a_word_is_given_up(open_upload, live_server, zipped):
    page = open_upload(live_server.url)
    page.clock.install()
    page.reload()
    pieces: list[Route] = []

    def swallow_the_first(route: Route) -> None:
        if route.request.method == "PATCH":
            pieces.append(route)
        if len(pieces) != 1 or route.request.method != "PATCH":
            route.continue_()

    page.route("**/datasets/upload/*", swallow_the_first)
    fill(page, zipped)
    with page.expect_request(lambda request: request.method == "PATCH"):
        page.get_by_role("button", name="Upload").click()
    page.clock.run_for(50_000)
    expect(page.locator("#upload-text")).to_have_text("Uploading")
    assert len(pieces) == 1
    page.clock.run_for(12_000)
    expect(page.get_by_role("heading", name="road signs")).to_be_visible(timeout=30_000)
    assert len(pieces) == 2
    assert Dataset.objects.get().upload_path.read_bytes() == zipped.read_bytes()


def test_choosing_the_file_again_goes_on_where_a_closed_page_stopped(open_upload, live_server, zipped):
    size = zipped.stat().st_size
    with cutting_proxy(live_server.url, size, cuts=1) as proxy:
        proxy.places = [size // 2]
        page = open_upload(proxy.url)
        interrupted(page, proxy, zipped)
        page.close()
    page = open_upload(live_server.url)
    expect(page.get_by_role("link", name="road signs")).to_be_visible()
    page.locator("#id_file").set_input_files(zipped)
    expect(page.locator("#upload-found")).to_contain_text("being uploaded as “road signs”")
    with page.expect_request(lambda request: request.method == "PATCH") as sent:
        page.get_by_role("button", name="Upload").click()
    expect(page.get_by_role("heading", name="road signs")).to_be_visible(timeout=30_000)
    assert int(sent.value.headers["upload-offset"]) > 0
    assert Dataset.objects.get().upload_path.read_bytes() == zipped.read_bytes()


def test_pause_and_go_on(open_upload, live_server, zipped, axe):
    page = open_upload(live_server.url)
    no_piece_passes(page)
    fill(page, zipped)
    page.get_by_role("button", name="Upload").click()
    page.get_by_role("button", name="Pause").click()
    expect(page.locator("#upload-text")).to_have_text("Paused. What was sent is kept.")
    expect(page.get_by_role("button", name="Go on")).to_be_focused()
    assert axe(page) == []
    page.unroute_all()
    page.get_by_role("button", name="Go on").click()
    expect(page.get_by_role("heading", name="road signs")).to_be_visible(timeout=30_000)


def test_an_upload_that_was_deleted_meanwhile_is_not_begun_anew(open_upload, live_server, zipped):
    page = open_upload(live_server.url)
    no_piece_passes(page)
    fill(page, zipped)
    page.get_by_role("button", name="Upload").click()
    expect(page.locator("#upload-text")).to_contain_text("The connection is lost")
    row = open_upload(live_server.url)
    row.get_by_role("link", name="road signs").click()
    expect(row.locator("#detail")).to_contain_text("Choose the same file again")
    row.locator("#detail").get_by_role("button", name="Delete").click()
    row.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(row.locator("#messages")).to_contain_text("is being deleted")
    page.unroute_all()
    expect(page.locator("#upload-error")).to_contain_text("The upload was deleted", timeout=20_000)
    assert Dataset.objects.get().status == "DELETE_IN_PROGRESS"


def test_cancelling_throws_it_away(open_upload, live_server, zipped):
    page = open_upload(live_server.url)
    no_piece_passes(page)
    fill(page, zipped)
    page.get_by_role("button", name="Upload").click()
    expect(page.locator("#upload-text")).to_contain_text("The connection is lost")
    with page.expect_response(lambda response: response.request.method == "DELETE"):
        page.get_by_role("link", name="Cancel").click()
    expect(page.get_by_role("button", name="Upload")).to_be_visible()
    expect(page.locator("#upload-progress")).to_be_hidden()
    assert Dataset.objects.get().status == "DELETE_IN_PROGRESS"
