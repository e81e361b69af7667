"""The same journey with PostgreSQL as the database and Redis as the broker: configuration, not code."""

import re
import secrets

import psycopg
import pytest
import redis

from tests.running import running_console

pytestmark = [pytest.mark.postgres, pytest.mark.redis]

SERVER = "postgresql://root@127.0.0.1:5432"


@pytest.fixture
def database():
    """The URL of an empty database that is dropped at the end."""
    name = f"console_test_{secrets.token_hex(4)}"
    try:
        server = psycopg.connect(f"{SERVER}/postgres", autocommit=True, connect_timeout=3)
    except psycopg.OperationalError as error:
        pytest.skip(f"no PostgreSQL on its standard port that lets us in: {error}")
    with server:
        server.execute(f"CREATE DATABASE {name}")
        yield f"{SERVER}/{name}"
        server.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def broker():
    """The URL of an empty Redis database that is empty again at the end."""
    for number in range(15, 0, -1):
        url = f"redis://127.0.0.1:6379/{number}"
        client = redis.Redis.from_url(url, socket_connect_timeout=3)
        try:
            empty = client.dbsize() == 0
        except redis.ConnectionError as error:
            pytest.skip(f"no Redis on its standard port: {error}")
        if empty:
            yield url
            client.flushdb()
            return
    pytest.skip("every database of the Redis server holds something that is not ours")


def test_the_journey_on_postgresql_and_redis(tmp_path, database, broker):
    with running_console(tmp_path / "home", DATABASE_URL=database, BROKER_URL=broker) as console:
        printed = console.manage("console_demo", "--algorithm", "image_classification", timeout=600)
        steps = re.findall(r"^  (\w+) +[\d.]+ s", printed, re.MULTILINE)
        assert steps == ["dataset", "training", "model", "endpoint", "answer"]
    assert not (console.home / "console.sqlite3").exists()
    with psycopg.connect(database) as connection:
        assert connection.execute("SELECT status FROM training_training").fetchall() == [("COMPLETE",)]
