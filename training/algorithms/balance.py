"""What is odd about a dataset's classes: names that are spelled two ways, and far more of one than of another.

Torch-free.
"""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from training.algorithms.base import gettext_noop as _
from training.report import Report

IMBALANCE = 10  # the largest class of train may be so many times the smallest
LONG = 7  # letters: names from here on that differ in one are probably meant to be the same
SEPARATORS = str.maketrans("", "", " \t-_./")


def class_balance(counts: Mapping[str, int], report: Report) -> None:
    """Warn when the largest class of train is more than IMBALANCE times the smallest that there is."""
    present = {name: count for name, count in counts.items() if count}
    if not present:
        return
    largest, smallest = max(present, key=present.__getitem__), min(present, key=present.__getitem__)
    if present[largest] > IMBALANCE * present[smallest]:
        text = _(
            "The classes are far from balanced in train: “%(largest)s” is there %(most)s times, “%(smallest)s” only "
            "%(least)s. The model will neglect the rare ones: add images of them."
        )
        report.warning(
            "class_balance",
            text,
            "train",
            largest=largest,
            most=present[largest],
            smallest=smallest,
            least=present[smallest],
        )


def label_spelling(names: Iterable[str], report: Report) -> None:
    """Warn of class names that are probably one."""
    for group in spelled_alike(names):
        text = _("These classes may be one, spelled in several ways: %(names)s. Use one name.")
        report.warning("label_spelling", text, names=", ".join(f"“{name}”" for name in group))


def spelled_alike(names: Iterable[str]) -> list[list[str]]:
    """Groups of names that differ in capitals, separators or Unicode form only, or by one letter in a long word."""
    by_key: dict[str, list[str]] = defaultdict(list)
    for name in sorted(set(names)):
        by_key[_key(name)].append(name)
    groups = [group for group in by_key.values() if len(group) > 1]
    shortened: dict[str, list[str]] = defaultdict(list)
    for key in by_key:
        for short in {key, *_without_one(key)} if len(key) >= LONG else ():
            shortened[short].append(key)
    pairs = {
        (one, other)
        for keys in shortened.values()
        for index, one in enumerate(keys)
        for other in keys[index + 1 :]
        if _one_edit(one, other) and not any(_has_lone_letter(name) for key in (one, other) for name in by_key[key])
    }
    return groups + sorted([by_key[one][0], by_key[other][0]] for one, other in pairs)


def _key(name: str) -> str:
    return unicodedata.normalize("NFKC", name).casefold().translate(SEPARATORS)


def _without_one(key: str) -> Iterator[str]:
    return (key[:at] + key[at + 1 :] for at in range(len(key)))


def _has_lone_letter(name: str) -> bool:
    """Whether a letter stands alone, as in "category A": then it tells classes apart."""
    return any(len(word) == 1 for word in re.split(r"[ \t_./-]", name))


def _one_edit(one: str, other: str) -> bool:
    """Whether one letter was changed, added, left out, or two exchanged. Not a digit ("class-1", "class-2"), not the
    last letter changed ("categoryA", "categoryB"), none added before ("typical", "atypical")."""
    start = next((at for at, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]), None)
    start = min(len(one), len(other)) if start is None else start
    mine, theirs = one[start:], other[start:]
    while mine and theirs and mine[-1] == theirs[-1]:
        mine, theirs = mine[:-1], theirs[:-1]
    if not (mine + theirs).isalpha():
        return False
    if mine and theirs:
        last = start + 1 == len(one) == len(other)
        return (len(mine) == len(theirs) == 1 and not last) or (len(mine) == 2 and mine == theirs[::-1])
    return start > 0 and len(mine + theirs) == 1
