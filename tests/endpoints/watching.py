"""What a test sees of a stage that is deployed: its rows, its routes, its processes."""

from typing import TypeVar

from django.db import models

from endpoints import processes, routes
from endpoints.models import Stage

Row = TypeVar("Row", bound=models.Model)


def fresh(row: Row) -> Row:
    return type(row).objects.get(pk=row.pk)  # type: ignore[attr-defined,no-any-return]


def is_active(stage: Stage) -> bool:
    return fresh(stage).status == "ACTIVE"


def sockets(stage: Stage) -> list[str]:
    """Where the web process sends the calls of the stage's first resource."""
    table = routes.read(routes.table_path())["endpoints"]
    return table[stage.endpoint_id]["stages"][stage.name]["resources"][0]["sockets"]


def engine_pids() -> set[int]:
    return {engine.process.pid for engine in processes.running_engines()}
