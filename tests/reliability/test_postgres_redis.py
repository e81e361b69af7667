"""The same journey with PostgreSQL as the database and Redis as the broker: configuration, not code."""

import json
import os
import re
import subprocess
import sys

import psycopg
import pytest

from tests.chaos.run import Chaos
from tests.running import ROOT, running_console

pytestmark = [pytest.mark.postgres, pytest.mark.redis]


def test_the_journey_on_postgresql_and_redis(tmp_path, database, broker):
    with running_console(tmp_path / "home", DATABASE_URL=database, BROKER_URL=broker) as console:
        printed = console.manage("console_demo", "--algorithm", "image_classification", timeout=600)
        steps = re.findall(r"^  (\w+) +[\d.]+ s", printed, re.MULTILINE)
        assert steps == ["dataset", "training", "model", "endpoint", "answer"]
    assert not (console.home / "console.sqlite3").exists()
    with psycopg.connect(database) as connection:
        assert connection.execute("SELECT status FROM training_training").fetchall() == [("COMPLETE",)]


def test_three_kills_lose_nothing_on_postgresql_and_redis(tmp_path, database, broker):
    """The broker forgets what a killed worker had fetched; the database does not. Longer: `make chaos DATABASE=1`."""
    chaos = Chaos(tmp_path / "home", variables={"DATABASE_URL": database, "BROKER_URL": broker})
    ledger = chaos.run(
        ["image_classification"], kills=3, seconds=8, quick=True, kinds=("worker", "trainer worker", "everything")
    )
    assert ledger.flawless(), f"seed {chaos.seed}\n{ledger.tables()}"


def test_a_stage_can_be_deleted_while_its_calls_are_counted(tmp_path, database):
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "console.settings",
        "CONSOLE_HOME": str(tmp_path),
        "DATABASE_URL": database,
    }
    command = [sys.executable, "-m", "tests.reliability.stage_race"]
    told = subprocess.run(
        command, cwd=ROOT, env=environment, check=True, text=True, stdout=subprocess.PIPE, timeout=120
    )
    assert json.loads(told.stdout) == []
