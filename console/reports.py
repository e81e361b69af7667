"""A dataset's counts, problems and images, arranged for the page."""

from collections import Counter
from itertools import groupby, islice
from typing import Any

from django.core.paginator import Paginator
from django.http import QueryDict
from django.utils.translation import gettext_lazy as _

from training import previews, services
from training.algorithms.palette import palette
from training.models import Dataset

PHASES = {
    "uploading": _("Uploading"),
    "importing": _("Copying the files"),
    "checksum": _("Computing the checksum"),
    "unpacking": _("Unpacking the zip"),
    "linking": _("Taking over the files"),
    "mending": _("Mending"),
    "images": _("Reading the images"),
}
LEVELS = {  # in the order of the page: heading, Tabler colour, icon
    "error": (_("Errors: the dataset cannot be used until they are mended"), "red", "x-octagon"),
    "warning": (_("Warnings: the dataset works, but look at these"), "yellow", "exclamation-triangle"),
    "fact": (_("Good to know"), "azure", "info-circle"),
}
LEVEL_NAMES = {"error": _("Errors"), "warning": _("Warnings"), "fact": _("Good to know")}
MENDS = {  # what a button says, and what happens
    "nested_root": (_("Move the folders up"), _("The folders of the layout are moved to the top.")),
    "empty_label": (_("Remove empty label folders"), _("Label folders without a single image are removed.")),
    "mask_palette": (
        _("Turn colour masks into class ids"),
        _("Each colour becomes the id that it stands for; the masks are saved as PNG."),
    ),
    "exif": (
        _("Turn the images upright"),
        _("The pixels are turned as EXIF says, and saved again with the same settings."),
    ),
    "box_clip": (
        _("Cut boxes to their image"),
        _("What lies outside the image is cut off; boxes of which nothing is left are removed."),
    ),
    "leakage_remove": (
        _("Take leaked images out of train"),
        _("Images of train that validation or test have too, pixel for pixel, are removed from train."),
    ),
    "duplicate_remove": (
        _("Remove copies from train"),
        _("Of images of train with equal pixels and equal labels one is kept."),
    ),
}
PICTURES = 8  # of a problem's images
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


def problems(dataset: Dataset, level: str = "") -> dict[str, Any]:
    """The report: {"filters": [{"key", "label", "count", "chosen"}], "levels": [...]}, only `level` when it is one.

    Of each level {"level", "heading", "colour", "icon", "count", "groups"}. Problems of one kind that say the same of
    many files are one group: {"problem", "files", "pictures", "mend"}.
    """
    counts = Counter(problem["level"] for problem in dataset.report)
    chosen = level if counts[level] else ""
    filters = [{"key": "", "label": _("All"), "count": counts.total(), "chosen": not chosen}]
    filters += [
        {"key": key, "label": label, "count": counts[key], "chosen": key == chosen}
        for key, label in LEVEL_NAMES.items()
        if counts[key]
    ]
    offered = services.dataset_mends(dataset)
    found = []
    for key, (heading, colour, icon) in LEVELS.items():
        if not counts[key] or chosen not in ("", key):
            continue
        rows = sorted((p for p in dataset.report if p["level"] == key), key=_what)
        groups = [_group(dataset, list(same), offered) for _key, same in groupby(rows, key=_what)]
        row = {"level": key, "heading": heading, "colour": colour, "icon": icon}
        found.append(row | {"count": len(rows), "groups": groups})
    return {"filters": filters, "levels": found}


def _what(problem: dict[str, Any]) -> tuple[str, ...]:
    """What is wrong, and the files that only belong together when it names several."""
    return problem["code"], problem["message"], *problem.get("files", ())


def _group(dataset: Dataset, same: list[dict[str, Any]], offered: list[str]) -> dict[str, Any]:
    """Reports from before there were mends have neither "files" nor "mend"."""
    named = [file for problem in same for file in (problem["file"], *problem.get("files", ())) if file]
    files = list(dict.fromkeys(named))
    pictures = list(islice((file for file in files if previews.has_picture(dataset, file)), PICTURES))
    mend = same[0].get("mend", "")
    text = MENDS[mend][0] if mend in offered else ""
    return {"problem": same[0], "files": files, "pictures": pictures, "mend": text}


def mends(dataset: Dataset) -> list[dict[str, Any]]:
    """The mends that the report offers: [{"code", "label", "text"}]."""
    return [{"code": code, "label": MENDS[code][0], "text": MENDS[code][1]} for code in services.dataset_mends(dataset)]


def versions(dataset: Dataset) -> list[dict[str, Any]]:
    """Its versions, the newest first, with the names of the mends that made each: [{"dataset", "mends"}]."""
    rows = services.dataset_versions(dataset)
    return [{"dataset": row, "mends": [MENDS[code][0] for code in row.mends if code in MENDS]} for row in rows]


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
