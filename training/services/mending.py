"""Versions of a dataset: mends make a new one, and no version ever changes."""

import os
import re
import shutil
from collections.abc import Sequence
from typing import Any

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _
from django_q.tasks import async_task

from training import lifecycle
from training.algorithms.base import Message, gettext_noop
from training.dataset_files import TASKS, fsync_folder
from training.errors import Conflict
from training.mends import MENDS, PLANS, TODO, read, write_json
from training.models import Dataset, DatasetStatus, new_id
from training.services.naming import NAME_LENGTH

TRIES = 5  # names, when others make versions at the same moment


def dataset_mends(dataset: Dataset) -> list[str]:
    """The codes of the mends that the dataset's report offers, in the order in which they are done.

    An INVALID dataset offers them as long as its zip is kept, which is when they mend every error.
    """
    if dataset.status == DatasetStatus.INVALID and not dataset.upload_path.exists():
        return []
    if dataset.status not in (DatasetStatus.READY, DatasetStatus.INVALID):
        return []
    offered = {problem.get("mend") for problem in dataset.report}
    return [code for code in MENDS if code in offered]


def dataset_versions(dataset: Dataset) -> list[Dataset]:
    """Every version of the dataset that there is, the newest first."""
    first = dataset
    while first.based_on is not None:
        first = first.based_on
    found, level = [first], [first]
    while level:
        level = list(Dataset.objects.filter(based_on__in=level))
        found += level
    return sorted(found, key=lambda version: (version.version, version.created_at), reverse=True)


def dataset_mend(*, dataset: Dataset, user: Any, mends: Sequence[str]) -> Dataset:
    """Have a worker make a new version of `dataset` with `mends` (codes); -> the new one, VALIDATING.

    Raises ValidationError for a mend that the report does not offer, Conflict while the dataset cannot be mended.
    """
    for _attempt in range(TRIES):
        try:
            return _make(dataset, user, mends)
        except IntegrityError:  # someone took the name, or made the same version, since the look
            continue
    raise Conflict(Message(gettext_noop("Others make versions of this dataset at this moment. Try again."), {}))


def _make(dataset: Dataset, user: Any, mends: Sequence[str]) -> Dataset:
    new = Dataset(id=new_id(), project=dataset.project, algorithm=dataset.algorithm, created_by=user)
    try:
        with transaction.atomic():
            base = lifecycle.locked(dataset)
            orders = _orders(base, mends)
            family = dataset_versions(base)
            new.version, new.name = _version_and_name(base, family)
            new.status, new.based_on, new.description = DatasetStatus.VALIDATING, base, base.description
            new.mends = [code for code, _plan in orders]
            new.source = {"kind": "mend", "where": base.name}
            _fill(new, base, orders)
            new.save(force_insert=True)
            lifecycle.record(new, new.status, actor=user)
            # robust: the row is committed by then; when the broker fails, the reconciliation enqueues it again.
            transaction.on_commit(lambda: async_task(TASKS[DatasetStatus.VALIDATING], new.pk), robust=True)
    except BaseException:
        shutil.rmtree(new.folder, ignore_errors=True)
        raise
    return new


def _orders(base: Dataset, mends: Sequence[str]) -> list[list[Any]]:
    """[[code, plan], ...] of `mends`. Raises Conflict or ValidationError."""
    if base.status not in (DatasetStatus.READY, DatasetStatus.INVALID):
        text = gettext_noop("%(name)s cannot be mended now: wait until it has been checked.")
        raise Conflict(Message(text, {"name": base.name}))
    offered = dataset_mends(base)
    if not isinstance(mends, list | tuple) or not mends or not all(isinstance(code, str) for code in mends):
        raise ValidationError({"mends": [_("Name at least one mend. The report offers: %(codes)s.") % _codes(offered)]})
    unknown = [code for code in mends if code not in offered]
    if unknown:
        text = _("The report does not offer the mend %(unknown)s. It offers: %(codes)s.")
        raise ValidationError({"mends": [text % {"unknown": ", ".join(unknown)[:200], **_codes(offered)}]})
    plans = read(base.folder / PLANS)
    return [[code, plans[code]] for code in offered if code in mends]


def _codes(offered: list[str]) -> dict[str, str]:
    return {"codes": ", ".join(offered) or "–"}


def _version_and_name(base: Dataset, family: list[Dataset]) -> tuple[int, str]:
    """The next version of the family, and its name: the first one's with " v2", shortened where it must be."""
    stem = re.sub(r" v\d+$", "", base.name)
    version = max(one.version for one in family) + 1
    taken = set(Dataset.objects.filter(project=base.project).values_list("name", flat=True))
    while (name := f"{stem[: NAME_LENGTH - len(f' v{version}')].rstrip()} v{version}") in taken:
        version += 1
    return version, name


def _fill(new: Dataset, base: Dataset, orders: list[list[Any]]) -> None:
    """The new version's folder: its orders, and the zip of an INVALID one with the orders that this one had."""
    new.folder.mkdir(parents=True)
    if base.status == DatasetStatus.INVALID:
        os.link(base.upload_path, new.upload_path)
        new.zip_bytes, new.zip_sha256 = base.zip_bytes, base.zip_sha256
        orders = [*(read(base.folder / TODO) or []), *orders]
    write_json(new.folder / TODO, orders)
    for folder in (new.folder, new.folder.parent):
        fsync_folder(folder)
