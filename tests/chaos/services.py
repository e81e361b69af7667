"""An empty PostgreSQL database and an empty Redis database of this machine's servers, gone at the end."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import redis

SERVER = "postgresql://root@127.0.0.1:5432"


class Absent(Exception):
    """The server is not there, or does not let us in."""


@contextmanager
def empty_database() -> Iterator[str]:
    """Yields its URL. Raises Absent."""
    name = f"console_test_{secrets.token_hex(4)}"
    try:
        server = psycopg.connect(f"{SERVER}/postgres", autocommit=True, connect_timeout=3)
    except psycopg.OperationalError as error:
        raise Absent(f"no PostgreSQL on its standard port that lets us in: {error}") from error
    with server:
        server.execute(f"CREATE DATABASE {name}")
        try:
            yield f"{SERVER}/{name}"
        finally:
            server.execute(f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def empty_broker() -> Iterator[str]:
    """Yields its URL. Raises Absent."""
    for number in range(15, 0, -1):
        url = f"redis://127.0.0.1:6379/{number}"
        client = redis.Redis.from_url(url, socket_connect_timeout=3)
        try:
            mine = client.dbsize() == 0 and client.set("taken", "by a test", nx=True)
        except redis.ConnectionError as error:
            raise Absent(f"no Redis on its standard port: {error}") from error
        if mine:
            try:
                yield url
            finally:
                client.flushdb()
            return
    raise Absent("every database of the Redis server holds something that is not ours")
