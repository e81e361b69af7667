"""What is odd about a dataset's images although each of them can be read: the same twice, leakage, blank, turned, ...

Everything comes from the prints that the one decode left. Thresholds stand at the top; docs/datasets.md has them for
people. A group is one problem with its files, and a code lists at most GROUPS groups. Torch-free.
"""

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from training.algorithms.base import gettext_noop as _
from training.algorithms.prints import Prints
from training.algorithms.scan import TINY
from training.report import Report

GROUPS = 25
UNUSUAL = 4  # times the median side, or a quarter of it
Truth = Mapping[str, Hashable]


def examine(prints: Prints, truth: Truth, report: Report) -> None:
    """Add what the images themselves show. `truth`: what each file is labelled with, equal when labelled alike."""
    same = prints.same()
    _plan_removals(same, truth, report)
    _alike(same, truth, report, near=False)
    _alike(prints.similar(), truth, report, near=True)
    _blank(prints, report)
    _turned(prints, report)
    _sizes(prints, report)


def split_of(file: str) -> str:
    return file.partition("/")[0]


def _alike(groups: Sequence[Sequence[str]], truth: Truth, report: Report, *, near: bool) -> None:
    """One warning a group: leakage when it is in several splits, else duplicates."""
    leaks = [group for group in groups if len({split_of(file) for file in group}) > 1]
    within = [group for group in groups if len({split_of(file) for file in group}) == 1]
    for group in leaks[:GROUPS]:
        text = _("The same image is in several splits (%(splits)s), so their figures look too good. Keep it in one.")
        if near:
            text = _(
                "Nearly the same image is in several splits (%(splits)s): figures may look too good. Keep it in one."
            )
        _warn("leakage", text, [group], report, near, splits=", ".join(sorted({split_of(file) for file in group})))
    for group in within[:GROUPS]:
        text = _duplicate_text(near, len({truth.get(file) for file in group}) == 1)
        _warn("near_duplicate" if near else "duplicate", text, [group], report, near)
    for code, left in (("leakage", leaks[GROUPS:]), ("near_duplicate" if near else "duplicate", within[GROUPS:])):
        if left:
            text = _("%(more)s more groups of such images, %(count)s images in all, are not listed.")
            _warn(code, text, left, report, near, more=len(left))


def _warn(code: str, text: str, groups: Sequence[Sequence[str]], report: Report, near: bool, **params: Any) -> None:
    """One warning about the groups, with a mend where one of their files is on its list."""
    mend = {"leakage": "leakage_remove", "duplicate": "duplicate_remove"}.get(code, "")
    if near or report.plans.get(mend, set()).isdisjoint(file for group in groups for file in group):
        mend = ""
    files = [file for group in groups for file in sorted(group, key=lambda file: (split_of(file) != "train", file))]
    report.warning(code, text, files[0], files=files, mend=mend, count=len(files), **params)


def _duplicate_text(near: bool, alike: bool) -> str:
    if near and alike:
        return _("%(count)s images look nearly the same. Are they copies? Then keep one.")
    if near:
        return _(
            "%(count)s images look nearly the same but are labelled differently. Which is right? Correct the other."
        )
    if alike:
        return _("%(count)s images are the same. One is enough: copies count more than others in the training.")
    return _("%(count)s images are the same but are labelled differently. Keep the right one.")


def _plan_removals(same: Sequence[Sequence[str]], truth: Truth, report: Report) -> None:
    """Which images of train the mends remove: what another split has too, and copies that are labelled alike."""
    left = Counter(label for file, label in truth.items() if split_of(file) == "train" and isinstance(label, str))
    plans: dict[str, set[str]] = {"leakage_remove": set(), "duplicate_remove": set()}
    for group in same:
        trained = [file for file in group if split_of(file) == "train"]
        if 0 < len(trained) < len(group):
            plans["leakage_remove"].update(file for file in trained if _spare(truth.get(file), left))
        elif trained and len({truth.get(file) for file in group}) == 1:
            plans["duplicate_remove"].update(file for file in trained[1:] if _spare(truth.get(file), left))
    report.plans.update({code: files for code, files in plans.items() if files})


def _spare(label: Hashable, left: Counter[str]) -> bool:
    """Whether train can do without one more image of this label: it keeps at least one."""
    if isinstance(label, str):
        if left[label] <= 1:
            return False
        left[label] -= 1
    return True


def _blank(prints: Prints, report: Report) -> None:
    files = [file for file in prints.files if prints[file].blank and min(prints.size(file)) >= TINY]
    if files:
        text = _("Images of a single colour, which show nothing: %(count)s. Remove or replace them.")
        report.warning("image_blank", text, files[0], files=files, count=len(files))


def _turned(prints: Prints, report: Report) -> None:
    files = [file for file in prints.files if prints[file].orientation != 1]
    if files:
        text = _("Images that are stored turned and set upright by their EXIF data when they are read: %(count)s.")
        report.fact("exif", text, files[0], files=files, mend="exif", count=len(files))
        report.plans["exif"] = set(files)


def _sizes(prints: Prints, report: Report) -> None:
    files = prints.files
    if not files:
        return
    sides = np.array([prints.size(file) for file in files])
    median = np.median(sides, axis=0)
    odd = ((sides > median * UNUSUAL) | (sides * UNUSUAL < median)).any(axis=1) & (sides.min(axis=1) >= TINY)
    found = [files[index] for index in np.flatnonzero(odd)]
    if found:
        text = _(
            "Images much larger or smaller than most (%(median)s), for example %(size)s: %(count)s. Remove those that "
            "do not belong here."
        )
        params: dict[str, Any] = {"count": len(found), "median": _text(median), "size": _text(prints.size(found[0]))}
        report.warning("size_unusual", text, found[0], files=found, **params)


def _text(size: Sequence[float]) -> str:
    return f"{round(size[0])} x {round(size[1])}"
