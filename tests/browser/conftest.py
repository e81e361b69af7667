"""A real Chromium before a live server. Without a Chromium these tests are skipped, with the reason."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.contrib.auth.models import User
from django.test import Client
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, sync_playwright

from endpoints.models import Endpoint
from tests.console import served
from training.models import Dataset

# Playwright's loop runs in the tests' own thread, and Django would refuse to use the database there. It is safe:
# nothing else runs in that loop, and the server answers in threads of its own.
os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"

# The list below the address bar is a page of its own in each window: no test sees it, and it takes half of the time
# that a window takes. Of two such options the last one counts, so playwright's own features are named again.
DISABLED_FEATURES = (
    "WebUIOmniboxPopup",
    "WebUIOmniboxAimPopup",
    "AimEnabled",
    "AvoidCorsURLLoaderRestartOnRedirect",
    "AvoidUnnecessaryBeforeUnloadCheckSync",
    "DestroyProfileOnBrowserClose",
    "HttpsFirstBalancedModeAutoEnable",
    "HttpsUpgrades",
    "LensOverlay",
    "MediaRouter",
    "NetworkTimeServiceQuerying",
    "OptimizationHints",
    "PaintHolding",
    "PreconnectToSearch",
    "ThirdPartyStoragePartitioning",
)
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    f"--disable-features={','.join(DISABLED_FEATURES)}",
]
Axe = Callable[[Page], list[str]]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """The system's Chromium (CHROMIUM names another), else the one that playwright installed.

    A module's, not the session's: while playwright's loop runs, no other test of this process could run its own.
    """
    found = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    with sync_playwright() as playwright:
        path = found or playwright.chromium.executable_path
        if not Path(path).exists():
            pytest.skip("there is no Chromium: install one, or name it in the environment variable CHROMIUM")
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def complaints() -> list[str]:
    """What the pages of a test logged as an error. A test that provokes one removes it."""
    return []


@pytest.fixture
def open_page(chromium: Browser, live_server: Any, home: Path, complaints: list[str]) -> Iterator[Callable[..., Page]]:
    """open_page(person, **context) is a page of that person, logged in; without a person nobody is.

    A test fails when a page of it logs an error, throws, or asks for anything outside the console.
    """
    contexts: list[Any] = []

    def logged(message: ConsoleMessage) -> None:
        if message.type == "error":
            complaints.append(message.text)

    def asked(request: Request) -> None:
        if not request.url.startswith((live_server.url, "data:", "blob:")):
            complaints.append(f"asked for {request.url}")

    def new(person: User | None = None, **options: Any) -> Page:
        context = chromium.new_context(base_url=live_server.url, **({"locale": "en-GB"} | options))
        contexts.append(context)
        if person is not None:
            client = Client()
            client.force_login(person)
            value = client.cookies[django_settings.SESSION_COOKIE_NAME].value
            context.add_cookies([{"name": django_settings.SESSION_COOKIE_NAME, "value": value, "url": live_server.url}])
        page = context.new_page()
        page.set_default_timeout(15_000)
        page.on("console", logged)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", asked)
        return page

    yield new
    for context in contexts:
        context.close()
    assert complaints == []


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    """A page that knows nothing, for a console that the test started itself."""
    context = chromium.new_context(locale="en-GB")
    yield context.new_page()
    context.close()


@pytest.fixture(scope="session")
def axe() -> Axe:
    """axe(page) is what axe-core finds wrong with the page for people who cannot see or point: "rule: element"."""
    file = django_settings.NODE_MODULES / "axe-core" / "axe.min.js"
    if not file.exists():
        pytest.skip("axe-core is not installed: run `make setup`")
    source = file.read_text(encoding="utf-8")

    def check(page: Page) -> list[str]:
        page.evaluate(source)
        result = page.evaluate("axe.run()")
        return [f"{found['id']}: {node['html'][:200]}" for found in result["violations"] for node in found["nodes"]]

    return check


@pytest.fixture
def pets(home, project) -> Dataset:
    return served.with_images(served.dataset(project), "test")


@pytest.fixture
def endpoint(pets) -> Endpoint:
    return served.endpoint(served.model(served.training(pets, "trained")))
