"""The stock clients `tritonclient[http]` and `kserve`, unmodified, against a stage URL with a key.

They run in an environment of their own (.ci/clients makes it): each pins older versions of what the product uses.
"""

import base64
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.endpoints.colours import LABELS, picture
from tests.endpoints.live import KEY, Live, live_stage
from tests.runs import ROOT

PYTHON = ROOT / ".venv" / "clients" / "bin" / "python"
needs_clients = pytest.mark.skipif(
    not (PYTHON.parents[1] / ".done").exists(), reason="The clients are not installed: run .ci/clients."
)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with live_stage(tmp_path_factory.mktemp("live")) as live:
        yield live


def calls(script: str, url: str, folder: Path) -> dict[str, Any]:
    image = folder / "red.png"
    image.write_bytes(base64.b64decode(picture("red")))
    command = [str(PYTHON), str(ROOT / "tests" / "clients" / script), url, KEY, str(image)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def is_red(answer: dict[str, Any]) -> bool:
    return answer["labels"] == ["red", "green", "blue"] and answer["scores"][0] > 0.99


@needs_clients
def test_tritonclient(stage: Live, tmp_path: Path):
    found = calls("triton_calls.py", stage.url.removeprefix("http://"), tmp_path)
    health = found["health"]
    assert [health[name] for name in ("live", "ready", "model_ready", "version_ready", "other_ready")] == [
        True, True, True, True, False
    ]  # fmt: skip
    assert health["server"]["extensions"] == ["binary_tensor_data"]
    assert health["model"]["name"] == "colours"
    answers = found["answers"]
    assert (answers.pop("pair"), answers.pop("id")) == ([2, len(LABELS)], "n1")
    assert answers.pop("network") == [[-10.0] * 3]
    assert len(answers) == 10
    assert all(map(is_red, [*answers.values(), *found["awaited"]])), answers
    statuses = {name: (refusal["status"], refusal["text"]) for name, refusal in found["refusals"].items()}
    image = "inputs[0].data[0]: Is not an image that can be read."
    assert statuses.pop("no_image") == ("400", f"[400] {image}")
    assert statuses.pop("no_parameter")[1].startswith("[422] parameters.priority: ")
    assert {name: status for name, (status, _) in statuses.items()} == {"no_key": "401", "no_model": "404"}
    assert all("occurred in the client" not in text for _, text in statuses.values())


@needs_clients
def test_kserve(stage: Live, tmp_path: Path):
    found = calls("kserve_calls.py", stage.url, tmp_path)
    first, second = found["v1"], found["v2"]
    assert (first["live"], first["ready"]) == (True, True)
    assert [row["label"] for row in first["answer"]["predictions"][0]] == ["red", "green", "blue"]
    assert first["refused"]["status"] == 400
    assert "instances[0].data" in first["refused"]["message"]
    assert [second[name] for name in ("live", "ready", "model_ready", "other_ready")] == [True, True, True, False]
    assert is_red(second["json"])
    assert is_red(second["binary"])
    assert second["json"]["id"] == "k1"
    assert second["chosen"]["labels"] == ["red", "green", "blue"]
    assert second["chosen"]["logits"] == pytest.approx([10, -10, -10], abs=0.1)
    assert second["refused"]["status"] == 400
    assert second["refused"]["message"].startswith("inputs[0].data[0]: Is not an image")
