"""The guide's five steps, clicked through in Chromium for each algorithm: from the zip to the answer of the stage URL.

A whole console runs for it, with the real processes and small networks.
"""

import base64
import io
import json
import re
import urllib.error
import urllib.request

import numpy as np
import pytest
from PIL import Image

from tests.corpus import ZIPS
from tests.running import PASSWORD, running_console

playwright = pytest.importorskip("playwright.sync_api")
expect = playwright.expect
pytestmark = pytest.mark.browser

MINUTES = 60_000  # ms
DATASETS = {
    "image_classification": {"train": 8, "validation": 4, "test": 4},
    "semantic_segmentation": {"train": 4, "validation": 2, "test": 2},
    "object_detection": {"train": 4, "validation": 2, "test": 2},
}
HYPERPARAMETERS = {
    "image_classification": {"learning_rate": "0.001", "num_train_epochs": "1"},
    "semantic_segmentation": {"num_train_epochs": "1"},
    "object_detection": {"num_train_epochs": "1", "threshold": "0"},
}


@pytest.fixture(scope="module")
def console(tmp_path_factory):
    with running_console(tmp_path_factory.mktemp("console")) as console:
        yield console


@pytest.fixture
def signed_in(console, page):
    page.goto(console.url)
    page.get_by_label("Username").fill("admin")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Dashboard")).to_be_visible()
    return page


def menu(page, name):
    page.get_by_role("navigation", name="Main").get_by_role("link", name=name, exact=True).click()


def status(page, text, minutes=3):
    expect(page.locator("#detail").get_by_text(text, exact=True).first).to_be_visible(timeout=minutes * MINUTES)


def upload(page, algorithm, zip_path):
    menu(page, "Datasets")
    page.get_by_role("link", name="Upload").first.click()
    page.locator(f"input[name=algorithm][value={algorithm}]").check()
    page.locator("input[type=file]").set_input_files(zip_path)
    page.get_by_label("Name").fill(f"data of {algorithm}")
    page.get_by_role("button", name="Upload").click()
    status(page, "READY", 1)


def train(page, algorithm):
    menu(page, "Training")
    page.get_by_role("link", name="Create training").first.click()
    page.locator(f"input[name=algorithm][value={algorithm}]").check()
    page.get_by_label("Name", exact=True).fill(f"training of {algorithm}")
    dataset = page.get_by_label("Dataset")
    expect(dataset).to_contain_text(f"data of {algorithm}")  # htmx asked for the algorithm's own fields
    dataset.select_option(dataset.locator("option", has_text=f"data of {algorithm}").get_attribute("value"))
    for name, value in HYPERPARAMETERS[algorithm].items():
        page.get_by_label(name, exact=True).fill(value)
    page.get_by_role("button", name="Create training").click()
    status(page, "COMPLETE")


def make_model(page, algorithm):
    page.locator("#detail").get_by_role("link", name="Create model").click()
    page.get_by_label("Name", exact=True).fill(f"model of {algorithm}")
    page.get_by_role("button", name="Create model").click()
    status(page, "ACTIVE")


def make_endpoint(page, algorithm):
    """-> the key, which is shown once."""
    page.locator("#detail").get_by_role("link", name="Create endpoint").click()
    page.get_by_label("Name", exact=True).fill(f"endpoint of {algorithm}")
    page.get_by_role("button", name="Create endpoint").click()
    key = page.locator("#new-key").inner_text()
    status(page, "ACTIVE", 1)
    return key


def call(url, key, image):
    """What the guide's own input.json gets: {"instances": [{"data": base64}]}."""
    body = json.dumps({"instances": [{"data": base64.b64encode(image).decode()}]}, indent=4, sort_keys=True).encode()
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}
    with urllib.request.urlopen(urllib.request.Request(f"{url}/inference", body, headers), timeout=60) as answer:
        return json.load(answer)


def picture():
    out = io.BytesIO()
    Image.fromarray(np.full((48, 64, 3), (200, 60, 40), np.uint8)).save(out, "PNG")
    return out.getvalue()


def check_answer(algorithm, answer):
    if algorithm == "image_classification":
        assert {row["label"] for row in answer} == {"cat", "dog"}
        assert sum(row["score"] for row in answer) == pytest.approx(1, abs=1e-4)
        assert answer == sorted(answer, key=lambda row: -row["score"])
    elif algorithm == "semantic_segmentation":
        mask = np.array(answer["predictions"])
        assert mask.shape == (1, 512, 512)
        assert set(np.unique(mask)) <= {0, 1, 2}
    else:
        boxes = answer["predictions"][0]
        assert boxes  # the threshold is 0: the untrained network's boxes are all there
        for row in boxes:
            ((label, box),) = row.items()
            assert label in {"thing-1", "thing-2"}
            assert 0 <= box["xmin"] <= box["xmax"] <= 64
            assert 0 <= box["ymin"] <= box["ymax"] <= 48


def try_it(page, algorithm, tmp_path):
    """The page shows the answer as a person wants to see it."""
    image = tmp_path / "picture.png"
    image.write_bytes(picture())
    page.locator("#try-image").set_input_files(image)
    expect(page.get_by_text(re.compile(r"Answered in \d+ ms"))).to_be_visible()
    result = page.locator("[data-tryit-result]")
    if algorithm == "image_classification":
        expect(result.locator("progress")).to_have_count(2)
    else:
        expect(result.locator(".tryit-label").first).to_be_visible()


@pytest.mark.parametrize("algorithm", ZIPS)
def test_from_the_zip_to_the_answer(console, signed_in, tmp_path, algorithm):
    page = signed_in
    upload(page, algorithm, ZIPS[algorithm](tmp_path / "data.zip", **DATASETS[algorithm]))
    train(page, algorithm)
    make_model(page, algorithm)
    key = make_endpoint(page, algorithm)

    page.locator("#detail").get_by_role("link", name="default", exact=True).click()
    url = page.locator("#stage-url").inner_text()
    assert url.startswith(f"{console.url}/stage/")
    check_answer(algorithm, call(url, key, picture()))
    check_answer(algorithm, call(url.removesuffix("/default"), key, picture()))  # the endpoint's own URL
    with pytest.raises(urllib.error.HTTPError, match="401"):
        call(url, "", picture())
    try_it(page, algorithm, tmp_path)
