"""A dataset's counts, problems and images, arranged for the page."""

from itertools import groupby
from typing import Any

from django.core.paginator import Paginator
from django.http import QueryDict
from django.utils.translation import gettext_lazy as _

from training import previews
from training.algorithms.palette import palette
from training.models import Dataset

PHASES = {
    "uploading": _("Uploading"),
    "importing": _("Copying the files"),
    "checksum": _("Computing the checksum"),
    "unpacking": _("Unpacking the zip"),
    "images": _("Reading the images"),
}
LEVELS = {  # in the order of the page: heading, Tabler colour, icon
    "error": (_("Errors: the dataset cannot be used until they are mended"), "red", "x-octagon"),
    "warning": (_("Warnings: the dataset works, but look at these"), "yellow", "exclamation-triangle"),
    "fact": (_("Good to know"), "azure", "info-circle"),
}
SPLITS = ("train", "validation", "test")


def classes(dataset: Dataset) -> dict[str, Any]:
    """{"splits": names, "rows": [{"name", "counts" by split, "total", "share" of the largest, in percent}]}."""
    splits = [name for name in SPLITS if name in dataset.counts]
    names = {label["name"]: None for label in dataset.labels}  # an ordered set
    names |= {name: None for split in splits for name in dataset.counts[split]}
    rows = [{"name": name, "counts": [dataset.counts[split].get(name, 0) for split in splits]} for name in names]
    totals = [sum(row["counts"]) for row in rows]
    largest = max(totals, default=0) or 1
    for row, total in zip(rows, totals, strict=True):
        row |= {"total": total, "share": round(100 * total / largest)}
    return {"splits": splits, "rows": rows}


def problems(dataset: Dataset) -> list[dict[str, Any]]:
    """The report by level, and in it by what is wrong: [{"heading", "colour", "icon", "count", "groups"}].

    Problems of one kind that say the same of many files are one group: {"problem", "files"}.
    """
    found = []
    for level, (heading, colour, icon) in LEVELS.items():
        rows = sorted((p for p in dataset.report if p["level"] == level), key=_what)
        groups = [_group(list(same)) for _key, same in groupby(rows, key=_what)]
        if groups:
            row = {"level": level, "heading": heading, "colour": colour, "icon": icon}
            found.append(row | {"count": len(rows), "groups": groups})
    return found


def _what(problem: dict[str, Any]) -> tuple[str, str]:
    return problem["code"], problem["message"]


def _group(same: list[dict[str, Any]]) -> dict[str, Any]:
    return {"problem": same[0], "files": [problem["file"] for problem in same if problem["file"]]}


def preview(dataset: Dataset, query: QueryDict) -> dict[str, Any]:
    """Some of a split's images: ?split=, ?images= (which page of them), ?overlay=0. Nonsense in it is ignored."""
    splits = [name for name in SPLITS if name in dataset.images]
    split = str(query.get("split"))
    split = split if split in splits else splits[0]
    page = Paginator(range(dataset.images[split]), previews.PER_PAGE).get_page(query.get("images"))
    return {
        "splits": splits,
        "counts": dataset.images,
        "split": split,
        "page": page,
        "samples": previews.samples(dataset, split, page.number),
        "has_overlay": dataset.algorithm != "image_classification",
        "overlay": query.get("overlay") != "0",
        "legend": list(zip(dataset.labels, palette(len(dataset.labels)), strict=True)),
    }
