"""The logs of a project's engines."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from endpoints import processes
from endpoints.models import StageResource
from training.algorithms.base import Message, gettext_noop
from training.disk import readable, size_of
from training.models import Project
from training.services.projects import record


def engine_log(resource: StageResource) -> Path:
    """What the engines of a resource write. No file before the first one has started."""
    return processes.log_path(resource.pk)


def engine_logs(project: Project) -> Iterator[tuple[StageResource, Path, Path]]:
    """-> (resource, its log, the full one before it) of each resource of the project's stages."""
    rows = StageResource.objects.filter(stage__endpoint__project=project).select_related("stage__endpoint")
    for row in rows.iterator():
        yield row, processes.log_path(row.pk), processes.rotated_log_path(row.pk)


def rotated_logs_delete(*, project: Project, user: Any) -> int:
    """Delete the logs that were full and put aside. -> bytes freed. Raises OSError."""
    freed = 0
    for _row, _log, rotated in engine_logs(project):
        freed += size_of(rotated)
        rotated.unlink(missing_ok=True)
    if freed:
        reason = Message(gettext_noop("Old logs of the stages were deleted (%(size)s)."), {"size": readable(freed)})
        record(project, "logs_deleted", actor=user, reason=reason)
    return freed
