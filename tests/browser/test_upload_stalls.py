"""Uploads of a page behind a slow proxy whose console is killed: the proxy holds on to the connections it has."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests import corpus
from tests.cutting import HoldingProxy
from tests.running import PASSWORD, RunningConsole, running_console

playwright = pytest.importorskip("playwright.sync_api")
expect = playwright.expect
pytestmark = pytest.mark.browser

STALLED_SECONDS = 3


@pytest.fixture(scope="module")
def console(tmp_path_factory) -> Iterator[RunningConsole]:
    home = tmp_path_factory.mktemp("console")
    with running_console(home, UPLOAD_STALLED_SECONDS=str(STALLED_SECONDS)) as console:
        yield console


@contextmanager
def holding_proxy(console: RunningConsole, silent: int) -> Iterator[HoldingProxy]:
    def kill_web() -> None:
        for process in console.processes():
            if "console.web" in process.cmdline():
                process.kill()

    proxy = HoldingProxy(console.url, kill_web, silent)
    try:
        yield proxy
    finally:
        proxy.stop()


@pytest.mark.parametrize("silent", [0, 1])
def test_it_goes_on_when_a_proxy_holds_the_connection_of_a_killed_console(console, page, tmp_path: Path, silent):
    """`silent`: also when the proxy then takes requests that it never answers, those of the page's own retries."""
    zipped = corpus.classification_zip(tmp_path / f"signs {silent}.zip", train=400, size=160)
    with holding_proxy(console, silent) as proxy:
        page.goto(proxy.url)
        page.get_by_label("Username").fill("admin")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        page.get_by_role("navigation", name="Main").get_by_role("link", name="Datasets", exact=True).click()
        page.get_by_role("link", name="Upload").first.click()
        page.get_by_role("radio", name="Image Classification").check()
        page.locator("#id_file").set_input_files(zipped)
        proxy.left = zipped.stat().st_size // 2
        page.get_by_role("button", name="Upload").click()
        expect(page.locator("#upload-text")).to_contain_text("The connection is lost", timeout=30_000)
        expect(page.get_by_role("heading", name=f"signs {silent}")).to_be_visible(timeout=60_000)
        assert proxy.swallowed == silent
