"""The same journey with PostgreSQL as the database and Redis as the broker: configuration, not code."""

import re

import psycopg
import pytest

from tests.running import running_console

pytestmark = [pytest.mark.postgres, pytest.mark.redis]


def test_the_journey_on_postgresql_and_redis(tmp_path, database, broker):
    with running_console(tmp_path / "home", DATABASE_URL=database, BROKER_URL=broker) as console:
        printed = console.manage("console_demo", "--algorithm", "image_classification", timeout=600)
        steps = re.findall(r"^  (\w+) +[\d.]+ s", printed, re.MULTILINE)
        assert steps == ["dataset", "training", "model", "endpoint", "answer"]
    assert not (console.home / "console.sqlite3").exists()
    with psycopg.connect(database) as connection:
        assert connection.execute("SELECT status FROM training_training").fetchall() == [("COMPLETE",)]
