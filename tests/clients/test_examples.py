"""The examples that a stage's page shows, run as they stand, beside an `image.png`."""

import base64
import html
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from django.template.loader import render_to_string

from tests.clients.test_clients import PYTHON, needs_clients
from tests.endpoints.colours import picture
from tests.endpoints.live import Live, live_stage

RUN = {
    "curl": ("bash", "-c"),
    "python": (sys.executable, "-c"),
    "file": ("bash", "-c"),
    "triton": (str(PYTHON), "-c"),
}


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with live_stage(tmp_path_factory.mktemp("live"), is_open=True) as live:
        yield live


def example(name: str, url: str) -> str:
    """The text of the page's box, as the button copies it."""
    resource = SimpleNamespace(path="/inference", model=SimpleNamespace(name="colours"))
    endpoint = SimpleNamespace(access="open")
    page = render_to_string("endpoints/_call.html", {"resources": [resource], "url": url, "endpoint": endpoint})
    (box,) = re.findall(rf'<pre id="code-{name}-1"[^>]*>(.*?)</pre>', page, re.DOTALL)
    return html.unescape(box)


@pytest.mark.parametrize("name", ["curl", "python", "file", pytest.param("triton", marks=needs_clients)])
def test_example_of_the_page_works_as_it_stands(stage: Live, tmp_path: Path, name: str):
    (tmp_path / "image.png").write_bytes(base64.b64decode(picture("lime")))
    command = [*RUN[name], example(name, stage.url)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert re.findall(r"red|green|blue", done.stdout)[0] == "green", done.stdout
