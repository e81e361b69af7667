"""What a mask holds: ids counted, masks that show a single class, colours that can be told to be ids. Torch-free.

Colours become ids (the mend `mask_palette`) only where one meaning fits every colour of every colour mask, with ids
that id2lable names (or 255): grey levels that are the ids themselves; the PASCAL VOC colours, in which the bits of an
id are dealt out to red, green and blue; or a CVAT `labelmap.txt` in resources, a line `name:red,green,blue:...` each.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from training.algorithms.base import NAMED, Message, Problem
from training.algorithms.base import gettext_noop as _
from training.algorithms.images import FORMATS
from training.report import Report

IGNORED_ID = 255
COLOURS = 256  # more than these are no classes
LABELMAP = "resources/labelmap.txt"
Colour = tuple[int, int, int]


@dataclass
class Masks:
    """What was seen of all masks. `single`: {class id or None: [(mask, image), ...]} of those that show only that one;
    `colours`: {mask: (mode, its colours or None when they are no classes)} of colour masks."""

    single: dict[int | None, list[tuple[str, str]]] = field(default_factory=lambda: defaultdict(list))
    colours: dict[str, tuple[str, set[Colour] | None]] = field(default_factory=dict)

    def see(self, mask: str, image: str, ids: Iterable[int], names: Mapping[int, str]) -> None:
        shown = {number for number in ids if number in names or number != IGNORED_ID}
        if len(shown) < 2:
            self.single[next(iter(shown), None)].append((mask, image))


def report_single(masks: Masks, names: Mapping[int, str], report: Report) -> None:
    """One warning a class for masks that show nothing else."""
    for number, files in masks.single.items():
        text = _(
            "Masks that show nothing but “%(name)s”: %(count)s. Was the rest of the image left unmarked? Then mark it."
        )
        if number is None:
            text = _(
                "Masks that are 255 (ignore) everywhere, so that nothing is learnt: %(count)s. Mark or remove them."
            )
        elif number not in names:
            continue  # mask_ids has told
        message = Message(text, {"count": len(files), "name": "" if number is None else names[number]})
        images = tuple(image for _mask, image in files[:NAMED])
        report.add(Problem("mask_empty", message, files[0][0], "warning", images))


def report_colours(masks: Masks, names: Mapping[int, str] | None, root: Path, report: Report) -> None:
    """An error for each colour mask, with the mend where the colours can only mean one thing."""
    mapping = meaning(masks, names, root) if names else {}
    for mask, (mode, _colours) in masks.colours.items():
        text = _(
            "The mask is a colour image (%(mode)s). Save it as greyscale or palette with one number a pixel, its id."
        )
        message = Message(text, {"mode": mode})
        report.add(Problem("mask_mode", message, mask, mend="mask_palette" if mapping else ""))
    if mapping:
        colours = [[*colour, number] for colour, number in sorted(mapping.items())]
        report.plans["mask_palette"] = {"masks": sorted(masks.colours), "colours": colours}


def colours_of(path: Path) -> set[Colour] | None:
    """The colours of an image that can be decoded; None when they are too many, or partly transparent."""
    with Image.open(path, formats=FORMATS) as image:
        if "A" in image.getbands() and image.getchannel("A").getextrema() != (255, 255):
            return None
        found = image.convert("RGB").getcolors(COLOURS)
    return None if found is None else {colour for _count, colour in found}  # type: ignore[misc]


def meaning(masks: Masks, names: Mapping[int, str], root: Path) -> dict[Colour, int]:
    """{colour: id} of all colour masks when it is certain, else {}."""
    colours: set[Colour] = set()
    for _mode, found in masks.colours.values():
        if found is None:
            return {}
        colours |= found
    candidates = []
    for known in (_grey(), _voc(), _labelmap(root, names)):
        mapping = {colour: known[colour] for colour in colours if colour in known}
        fits = len(mapping) == len(colours) and all(n in names or n == IGNORED_ID for n in mapping.values())
        if fits and mapping not in candidates:
            candidates.append(mapping)
    return candidates[0] if len(candidates) == 1 else {}


def _grey() -> dict[Colour, int]:
    return {(level, level, level): level for level in range(256)}


def _voc() -> dict[Colour, int]:
    """The VOC development kit's colour map: bit 3 k + c of an id is bit 7 - k of its colour's component c."""
    return {
        tuple(  # type: ignore[misc]
            sum(((number >> (3 * k + component)) & 1) << (7 - k) for k in range(3)) for component in range(3)
        ): number
        for number in range(256)
    }


def _labelmap(root: Path, names: Mapping[int, str]) -> dict[Colour, int]:
    """{colour: id} of the labels that id2lable names too; {} without a file, or when it gives one colour two ids."""
    if not (root / LABELMAP).is_file():
        return {}
    ids = {name: number for number, name in names.items()}
    known: dict[Colour, int] = {}
    for line in (root / LABELMAP).read_text(encoding="utf-8", errors="replace").splitlines():
        name, _colon, rest = line.partition(":")
        numbers = rest.partition(":")[0].split(",")
        if name in ids and len(numbers) == 3 and all(n.strip().isdecimal() for n in numbers):
            red, green, blue = (int(n) for n in numbers)
            if known.setdefault((red, green, blue), ids[name]) != ids[name]:
                return {}
    return known


def pixels_by_id(ids: np.ndarray) -> dict[int, int]:
    """(H, W) integers -> {id: pixels}, ids ascending."""
    if ids.min() < 0 or ids.max() > 65535:  # bincount would make room for every number up to the largest
        values, counts = np.unique(ids, return_counts=True)
    else:
        all_counts = np.bincount(ids.ravel())
        values = np.flatnonzero(all_counts)
        counts = all_counts[values]
    return dict(zip(values.tolist(), counts.tolist(), strict=True))
