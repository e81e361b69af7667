"""Datasets that come from a folder of the server or from S3-compatible storage."""

from pathlib import PurePosixPath
from typing import Any

from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _
from django_q.tasks import async_task

from training import lifecycle, sources
from training.models import Dataset, Project
from training.services.datasets import field_errors
from training.services.naming import raise_if, taken

TASK = "training.tasks.dataset_import"


def dataset_import(
    *, project: Project, user: Any, name: str, algorithm: str, source: dict[str, str], description: str = ""
) -> Dataset:
    """Have a worker copy `source`, {"kind": "folder" or "s3", "where": a zip or a folder}, then validate it.

    Raises ValidationError; `source` is the field of a place that is not there or not allowed.
    """
    kind, where = source.get("kind", ""), source.get("where", "")
    name = name or PurePosixPath(where).name.removesuffix(".zip")[:50]
    errors = field_errors(project, name, algorithm, description)
    if problem := _source_problem(kind, where):
        errors["source"] = [problem]
    raise_if(errors)
    dataset = Dataset(
        project=project,
        name=name.strip(),
        description=description.strip(),
        algorithm=algorithm,
        source={"kind": kind, "where": where},
        progress={"phase": "importing", "done": 0, "total": 0},
        created_by=user,
    )
    try:
        with transaction.atomic():
            dataset.save(force_insert=True)
            lifecycle.record(dataset, dataset.status, actor=user)
            transaction.on_commit(lambda: async_task(TASK, dataset.pk), robust=True)
    except IntegrityError:  # someone took the name since the look
        raise_if({"name": [taken(dataset.name)]})
        raise
    return dataset


def _source_problem(kind: Any, where: Any) -> str:
    """A sentence when nothing can be imported from there, else ""."""
    if not (isinstance(kind, str) and isinstance(where, str)) or "\x00" in where:
        return _("This must be a text.")
    if kind == "folder" and not where:
        return _("Choose a folder or a zip.")
    try:
        source = sources.open_source(kind, where)
        if source.zip_item() is None:
            next(iter(source.items()), None)
    except sources.SourceError as error:
        return _(error.message.text) % error.message.params
    except ConnectionError:
        return _("The storage does not answer. Try again later.")
    return ""
