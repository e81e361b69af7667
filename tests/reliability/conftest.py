"""A PostgreSQL and a Redis database of a test's own; without such servers the test is skipped, with the reason."""

import secrets
from collections.abc import Iterator

import psycopg
import pytest
import redis

SERVER = "postgresql://root@127.0.0.1:5432"


@pytest.fixture
def database() -> Iterator[str]:
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
def broker() -> Iterator[str]:
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
