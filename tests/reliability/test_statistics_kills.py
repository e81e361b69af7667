"""The process that counts the calls of a stage is killed while it writes: whatever is counted is counted everywhere."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from tests.runs import ROOT

COMMAND = [sys.executable, "-m", "tests.reliability.stage_counting"]


def counted_until_killed(environment: dict[str, str], seconds: float) -> int:
    """-> the calls that the process said were written before it was killed, `seconds` after the first of them."""
    with subprocess.Popen(COMMAND, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        assert first, "it ended before it wrote anything"
        time.sleep(seconds)
        process.kill()
        return int(first) + sum(int(line) for line in process.stdout if line.endswith("\n"))


def test_minutes_hours_total_and_images_agree_after_every_kill(tmp_path: Path):
    settings = {"DJANGO_SETTINGS_MODULE": "console.settings", "CONSOLE_HOME": str(tmp_path / "home")}
    environment = {**os.environ, **settings}
    told = sum(counted_until_killed(environment, seconds) for seconds in (0.31, 0.57, 0.83))
    found = json.loads(subprocess.check_output([*COMMAND, "check"], cwd=ROOT, env=environment, text=True, timeout=60))
    assert found["minutes"] == found["hours"]
    assert found["total"] == sum(found["hours"].values())
    assert told <= found["total"] <= told + 3 * 5  # of each kill, one write that was committed but not told
    assert found["files"] == found["images"] != []
