"""`/healthz`: the web process serves. `/readyz`: everything that a training and a call need is alive."""

import logging
from collections.abc import Callable

import redis
from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse, JsonResponse

from training import heartbeats

logger = logging.getLogger(__name__)


@login_not_required
def healthz(request: HttpRequest) -> HttpResponse:
    return JsonResponse({"status": "ok"})


@login_not_required
def readyz(request: HttpRequest) -> HttpResponse:
    """200, or 503 with the parts that are missing: {"missing": ["worker", ...]}."""
    missing = [name for name, alive in CHECKS.items() if not alive()]
    return JsonResponse(
        {"status": "unready" if missing else "ready", "missing": missing}, status=503 if missing else 200
    )


def _database() -> bool:
    return _readable("django_migrations")


def _broker() -> bool:
    """Redis where it is configured; else the database is the broker, and its queue must be readable."""
    if not settings.BROKER_URL:
        return _readable("django_q_ormq")
    try:
        with redis.Redis.from_url(settings.BROKER_URL, socket_timeout=2, socket_connect_timeout=2) as client:
            return bool(client.ping())
    except redis.RedisError as error:
        logger.warning("readyz: the broker does not answer: %s", error)
        return False


def _readable(table: str) -> bool:
    try:
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT 1 FROM {table} LIMIT 1")
    except DatabaseError as error:
        logger.warning("readyz: %s cannot be read: %s", table, error)
        return False
    return True


CHECKS: dict[str, Callable[[], bool]] = {
    "database": _database,
    "broker": _broker,
    "worker": lambda: heartbeats.alive("default"),
    "trainer_worker": lambda: heartbeats.alive("training"),
    "stage_supervisor": lambda: heartbeats.alive("stages"),
}
