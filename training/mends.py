"""What the console can mend by itself: each mend turns the files of one version of a dataset into those of the next.

The ingest of a dataset notes beside it what each mend would do (`mends.json`: {code: plan}). A version that mends made
has its orders in `todo.json`: [[code, plan], ...], which its own ingest carries out before it checks everything
anew. Its files are links to those of the version before: whatever changes is written anew, never in place.
"""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps
from PIL.JpegImagePlugin import get_sampling

from training.algorithms.images import FORMATS
from training.algorithms.layout import decoded, inside
from training.algorithms.object_detection.dataset import FILE as COCO

Progress = Callable[[str, int, int], None]
PLANS, TODO = "mends.json", "todo.json"


def write_json(path: Path, content: Any) -> None:
    """Whole or not at all, and on the disk."""
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("w", encoding="utf-8") as file:
        json.dump(content, file, ensure_ascii=False)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def write_plans(folder: Path, plans: dict[str, Any]) -> None:
    """Note beside the dataset what its mends would do. Writes nothing when there are none."""
    if plans:
        write_json(folder / PLANS, {code: sorted(p) if isinstance(p, set) else p for code, p in plans.items()})


def read(path: Path) -> Any:
    """The content of a file of this module; None when there is none."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def link_tree(source: Path, target: Path, folders: tuple[str, ...], progress: Progress) -> None:
    """Give `target` the files of those `folders` of `source`, as links where the file system has them."""
    done = 0
    for name in folders:
        for where, _folders, files in os.walk(source / name):
            into = target / os.path.relpath(where, source)
            into.mkdir(parents=True)
            for file in files:
                try:
                    os.link(os.path.join(where, file), into / file)
                except OSError:
                    shutil.copy2(os.path.join(where, file), into / file)
                done += 1
                progress("linking", done, 0)


def carry_out(root: Path, todo: list[list[Any]], progress: Progress) -> None:
    """Do every mend of `todo` to the files below `root`."""
    for code, plan in todo:
        MENDS[code](root, plan, lambda done, total: progress("mending", done, total))


Step = Callable[[int, int], None]


def _nested_root(root: Path, plan: list[list[str]], _step: Step) -> None:
    """Move folders of the layout up: [[where it is, where it belongs], ...]."""
    for source, target in plan:
        if not (root / target).exists():
            (root / source).rename(root / target)


def _empty_label(root: Path, plan: list[str], _step: Step) -> None:
    for folder in plan:
        shutil.rmtree(root / folder, ignore_errors=True)


def _mask_palette(root: Path, plan: dict[str, Any], step: Step) -> None:
    """Write colour masks anew as PNG of ids: {"masks": files, "colours": [[red, green, blue, id], ...]}."""
    known = np.array(plan["colours"], dtype=np.int64)
    codes = _code(known)
    order = np.argsort(codes)
    for done, file in enumerate(plan["masks"], 1):
        with Image.open(root / file, formats=FORMATS) as image:
            pixels = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
        ids = known[order, 3][np.searchsorted(codes[order], _code(pixels))]
        kind: Any = np.uint8 if known[:, 3].max() < 256 else np.uint16
        _save(Image.fromarray(ids.astype(kind)), root / file, "PNG")
        step(done, len(plan["masks"]))


def _code(colours: np.ndarray) -> np.ndarray:
    """(..., 3 or more) -> (...) one number a colour."""
    parts = colours.astype(np.int64)
    return parts[..., 0] << 16 | parts[..., 1] << 8 | parts[..., 2]


def _exif(root: Path, plan: list[str], step: Step) -> None:
    """Turn the pixels as EXIF says and drop its orientation. A JPEG keeps its own tables: nearly nothing is lost."""
    for done, file in enumerate(plan, 1):
        with Image.open(root / file, formats=FORMATS) as image:
            options: dict[str, Any] = {"icc_profile": image.info.get("icc_profile")}
            kind = "JPEG" if image.format in ("JPEG", "MPO") else str(image.format)
            if kind == "JPEG":
                options |= {"qtables": image.quantization, "subsampling": max(get_sampling(image), 0)}  # type: ignore[attr-defined]
            elif kind in ("WEBP", "AVIF"):
                options["quality"] = 95
            upright = ImageOps.exif_transpose(image)
            _save(upright, root / file, kind, exif=upright.getexif(), **options)
        step(done, len(plan))


def _save(image: Image.Image, path: Path, kind: str, **options: Any) -> None:
    """Put a new file in the place of `path`, which may be a link to an older version's file."""
    temporary = path.with_name(path.name[:200] + ".new")
    image.save(temporary, kind, **options)
    temporary.replace(path)


def _box_clip(root: Path, plan: dict[str, dict[str, list[float] | None]], _step: Step) -> None:
    """Cut or drop boxes: {file: {place in "annotations": [x, y, width, height], or null to drop it}}."""
    for file, boxes in plan.items():
        content = json.loads(decoded((root / file).read_bytes()))
        kept = []
        for place, item in enumerate(content["annotations"]):
            box = boxes.get(str(place), item.get("bbox"))
            if box is not None:
                kept.append({**item, "bbox": box})
        write_json(root / file, {**content, "annotations": kept})


def _remove_images(root: Path, plan: list[str], step: Step) -> None:
    """Take images out of the dataset, with their entries in the lists of the layout."""
    doomed = set(plan)
    for split in sorted({file.partition("/")[0] for file in plan}):
        for name in (COCO, f"{split}.json", "train.json"):
            path = root / split / name
            if path.is_file():
                content = json.loads(decoded(path.read_bytes()))
                write_json(
                    path, (_without_rows if isinstance(content, list) else _without_images)(content, split, doomed)
                )
    for done, file in enumerate(plan, 1):
        (root / file).unlink(missing_ok=True)
        step(done, len(plan))


def _without_rows(rows: list[Any], split: str, doomed: set[str]) -> list[Any]:
    return [row for row in rows if inside(split, row["image"]) not in doomed]


def _without_images(content: dict[str, Any], split: str, doomed: set[str]) -> dict[str, Any]:
    gone = {image["id"] for image in content["images"] if inside(split, image["file_name"]) in doomed}
    return {
        **content,
        "images": [image for image in content["images"] if image["id"] not in gone],
        "annotations": [item for item in content["annotations"] if item["image_id"] not in gone],
    }


# In the order in which they are done: boxes are known by their place, so they are cut before any is removed.
MENDS: dict[str, Callable[[Path, Any, Step], None]] = {
    "nested_root": _nested_root,
    "empty_label": _empty_label,
    "mask_palette": _mask_palette,
    "exif": _exif,
    "box_clip": _box_clip,
    "leakage_remove": _remove_images,
    "duplicate_remove": _remove_images,
}
