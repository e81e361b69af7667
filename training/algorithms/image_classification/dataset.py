"""Checks the layout train/{label}/*.png and makes the index. Torch-free.

Decisions: a label that training never sees is an error (nothing could be learnt of it), as is a single
label; a label without validation images, an empty label folder and a label with few images are warnings.
A file that is no image by its name and by its content is left out with a warning.
"""

import os
from collections import defaultdict
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path

from training.algorithms import doctor
from training.algorithms.balance import class_balance, label_spelling
from training.algorithms.base import Problem
from training.algorithms.base import gettext_noop as _
from training.algorithms.image_classification.spec import ALGORITHM
from training.algorithms.layout import Layout, check_label, find_splits
from training.algorithms.scan import SUFFIXES, BadImage, Scan, tiny
from training.report import Report

FEW = 10  # training images of a label


@dataclass
class Found:
    """Images by split and label, as paths relative to the root."""

    files: dict[str, dict[str, list[str]]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(list)))

    def labels(self, split: str) -> set[str]:
        return {label for label, files in self.files[split].items() if files}


def check(root: Path, report: Report, scan: Scan) -> Layout | None:
    """Add every problem to `report`; -> the normalised dataset when there is no error."""
    splits = find_splits(root, ALGORITHM.splits, report)
    found = Found()
    for split in splits:
        _list_split(root, split, found, report)
    sizes = _decode(root, splits, found, report, scan)
    _check_labels(splits, found, report)
    train = found.files["train"]
    class_balance({label: len(files) for label, files in train.items()}, report)
    doctor.examine(scan.prints, {file: label for label, files in train.items() for file in files}, report)
    if report.errors:
        return None
    names = sorted(found.labels("train"))
    index = {name: position for position, name in enumerate(names)}
    return Layout(
        labels=[{"id": index[name], "name": name} for name in names],
        rows={
            split: [
                {"image": file, "label": index[name]} for name, files in found.files[split].items() for file in files
            ]
            for split in splits
        },
        counts={split: {name: len(found.files[split][name]) for name in names} for split in splits},
        sizes=sizes,
    )


def _list_split(root: Path, split: str, found: Found, report: Report) -> None:
    for folder in in_order(root / split):
        if not folder.is_dir():
            text = _("The file belongs to no label and is left out. Put it into the folder of its label.")
            report.warning("no_label", text, f"{split}/{folder.name}")
            continue
        check_label(folder.name, f"{split}/{folder.name}", report)
        files = found.files[split][folder.name]
        for entry in in_order(folder):
            name = f"{split}/{folder.name}/{entry.name}"
            if entry.is_dir():
                text = _("A label's folder holds images, not folders. Move the images up by one folder.")
                report.error("folder_in_label", text, name)
            else:
                files.append(name)


def in_order(folder: str | os.PathLike[str]) -> list[os.DirEntry[str]]:
    """What is in the folder, by name. Of 70,000 files a Path each would take longer than to list them."""
    with os.scandir(folder) as entries:
        return sorted(entries, key=attrgetter("name"))


def _decode(root: Path, splits: list[str], found: Found, report: Report, scan: Scan) -> list[tuple[int, int]]:
    """Decode every image; take out of `found` what is none. -> their sizes."""
    sizes: list[tuple[int, int]] = []
    unusable: set[str] = set()
    files = [(split, label, file) for split in splits for label, names in found.files[split].items() for file in names]

    def look(item: tuple[str, str, str]) -> tuple[int, int] | Problem:
        try:
            return scan.image(f"{root}/{item[2]}", item[2])
        except BadImage as error:
            return error.problem

    for (_split, _label, file), result in scan.each("images", look, files, lambda item: f"{root}/{item[2]}"):
        if isinstance(result, tuple):
            sizes.append(result)
            report.extend(tiny(result, file))
            continue
        unusable.add(file)
        if result.code == "not_an_image" and Path(file).suffix.casefold() not in SUFFIXES:
            report.warning("left_out", _("The file is not an image and is left out."), file)
        else:
            report.add(Problem(result.code, result.message, file))
    for split in splits:
        for label, names in found.files[split].items():
            found.files[split][label] = [name for name in names if name not in unusable]
    return sizes


def _check_labels(splits: list[str], found: Found, report: Report) -> None:
    trained = found.labels("train")
    empty = {f"{split}/{label}" for split in splits for label, files in found.files[split].items() if not files}
    if empty:
        report.plans["empty_label"] = empty
    for split in splits:
        for label, files in sorted(found.files[split].items()):
            if not files:
                text = _("The folder of the label has no images. Put some into it or remove it.")
                report.warning("label_empty", text, f"{split}/{label}", mend="empty_label")
            elif "train" in splits and label not in trained:
                text = _("The label “%(label)s” has no images in train, so it cannot be learnt. Add some or remove it.")
                report.error("label_not_trained", text, f"{split}/{label}", label=label)
    if "train" in splits and len(trained) < 2:
        text = _("At least two labels with images are needed in train; there are %(count)s. Add a folder for each.")
        report.error("too_few_labels", text, "train", count=len(trained))
    for label in sorted(trained):
        if "validation" in splits and label not in found.labels("validation"):
            text = _("The label “%(label)s” has no images in validation: its figures will say nothing. Add some.")
            report.warning("label_not_validated", text, f"train/{label}", label=label)
        if (count := len(found.files["train"][label])) < FEW:
            text = _("The label “%(label)s” has only %(count)s images in train. Add some.")
            report.warning("few_images", text, f"train/{label}", label=label, count=count)
    if "validation" in splits and not found.labels("validation"):
        report.error("split_empty", _("The split has no images. Put some into its labels' folders."), "validation")
    label_spelling(trained, report)
