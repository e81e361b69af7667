"""The log of a stage's recent requests. Of each class of status the newest are kept, so that errors can be found
however many calls succeed after them."""

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

from django.db import transaction
from django.db.models import QuerySet

from endpoints import kept_images
from endpoints.models import RequestRecord, Stage

if TYPE_CHECKING:
    from endpoints.statistics import Call

RECENT = 200  # calls of a stage and class that are kept one by one
IMAGES = 200  # of a stage, whatever the class
CLASSES = {"2xx": (0, 399), "4xx": (400, 499), "5xx": (500, 999)}  # lowest and highest status


def recent(stage: Stage, status_class: str = "") -> QuerySet[RequestRecord]:
    """Newest first; of one class of CLASSES, or of all."""
    rows = stage.requests.order_by("-at", "-pk")
    return rows.filter(status__range=CLASSES[status_class]) if status_class else rows


def write(stage_id: str, rows: "list[tuple[Call, str]]") -> None:
    """Add the calls, each with the name of its kept image or "", and drop what is older than the newest RECENT."""
    newest: list[tuple[Call, str]] = []
    seen: Counter[str] = Counter()
    for call, image in reversed(rows):
        seen[_class(call.status)] += 1
        if seen[_class(call.status)] <= RECENT:
            newest.append((call, image))
    RequestRecord.objects.bulk_create(_row(stage_id, call, image) for call, image in reversed(newest))
    for name in seen:
        _prune(stage_id, name)
    if any(image for _call, image in newest):
        _prune_images(stage_id)


def _class(status: int) -> str:
    return next(name for name, (low, high) in CLASSES.items() if low <= status <= high)


def _row(stage_id: str, call: "Call", image: str) -> RequestRecord:
    return RequestRecord(
        stage_id=stage_id,
        at=call.at,
        path=_storable(call.path)[:120],
        status=call.status,
        milliseconds=round(call.milliseconds, 2),
        bytes_in=call.bytes_in,
        bytes_out=call.bytes_out,
        batch_size=call.batch_size,
        image=image,
        key_prefix=call.key_prefix,
        error=_storable(call.error)[:200],
    )


def _storable(text: str) -> str:
    """Without what a database refuses: one such text would keep all calls of its second from being written."""
    return text.encode("utf-8", "replace").decode().replace("\x00", "")


def _prune(stage_id: str, status_class: str) -> None:
    rows = RequestRecord.objects.filter(stage_id=stage_id, status__range=CLASSES[status_class])
    kept = rows.order_by("-at", "-pk").values_list("pk", flat=True)[:RECENT]
    old = rows.exclude(pk__in=list(kept))
    images = list(old.exclude(image="").values_list("image", flat=True))
    old.delete()
    _remove_on_commit(stage_id, images)


def _prune_images(stage_id: str) -> None:
    rows = RequestRecord.objects.filter(stage_id=stage_id).exclude(image="").order_by("-at", "-pk")
    old = dict(rows.values_list("pk", "image")[IMAGES:])
    RequestRecord.objects.filter(pk__in=old).update(image="")
    _remove_on_commit(stage_id, list(old.values()))


def _remove_on_commit(stage_id: str, images: list[str]) -> None:
    # robust: the calls are written by then, and a file that cannot be removed must not have them counted again.
    transaction.on_commit(partial(kept_images.remove, stage_id, images), robust=True)
