"""Dataset zips for tests, made by code: small, deterministic, with anything that a test wants to be wrong with them.

classification_zip(tmp_path / "a.zip", labels=("cat", "dog"), train=4)
write_zip(tmp_path / "b.zip", {**classification_files(), "train/cat/broken.png": b"not an image"})
"""

import io
import json
import stat
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from training import algorithms, archive
from training.algorithms.layout import Layout
from training.algorithms.scan import Scan
from training.report import Report

COLOURS = ((220, 40, 40), (40, 160, 60), (50, 80, 220), (230, 190, 40), (150, 60, 190), (40, 190, 190))
Files = dict[str, bytes]
LIMITS = archive.Limits(entries=1000, bytes=50_000_000, ratio=100)


class Checked(NamedTuple):
    """`layout` is None when `report` has errors."""

    root: Path
    report: Report
    layout: Layout | None

    def found(self, level: str = "error") -> list[tuple[str, str]]:
        """[(code, file)] of one level, in the report's order."""
        return [(p["code"], p["file"]) for p in self.report.as_json() if p["level"] == level]

    def text(self, code: str) -> str:
        """The sentence of the only problem with this code."""
        (problem,) = [p for p in self.report.as_json() if p["code"] == code]
        return problem["message"]


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def picture(label: int, number: int = 0, size: tuple[int, int] = (32, 32), mode: str = "RGB") -> Image.Image:
    """A noisy image in the label's colour: two numbers never give the same file."""
    rng = np.random.default_rng(label * 1000 + number)
    noise = rng.integers(-30, 31, (size[1], size[0], 3))
    array = np.clip(np.array(COLOURS[label % len(COLOURS)]) + noise, 0, 255).astype(np.uint8)
    return Image.fromarray(array).convert(mode)


def classification_files(
    labels: Iterable[str] = ("cat", "dog"), train: int = 4, validation: int = 2, test: int = 0, size: int = 32
) -> Files:
    """{path: bytes} of train/{label}/0.png and so on; the numbers are images a label."""
    files: Files = {}
    for part, (split, count) in enumerate((("train", train), ("validation", validation), ("test", test))):
        for label, name in enumerate(labels):
            for number in range(count):
                image = picture(label, number + part * 100, (size, size))
                files[f"{split}/{name}/{number}.png"] = encoded(image)
    return files


def scene(number: int, classes: int, size: int) -> tuple[Image.Image, Image.Image, list[list[int]]]:
    """-> (RGB image, mask of 0 and 1..classes, [[class, x, y, w, h], ...]): one rectangle of every class."""
    rng = np.random.default_rng(number)
    image = Image.fromarray(rng.integers(90, 130, (size, size, 3)).astype(np.uint8))
    mask, boxes = Image.new("L", (size, size)), []
    strip = size // classes
    for label in range(1, classes + 1):
        side = int(rng.integers(strip // 2, strip))
        x, y = (label - 1) * strip, int(rng.integers(0, size - side))
        for canvas, fill in ((image, COLOURS[label % len(COLOURS)]), (mask, label)):
            ImageDraw.Draw(canvas).rectangle((x, y, x + side - 1, y + side - 1), fill=fill)
        boxes.append([label, x, y, side, side])
    return image, mask, boxes


def segmentation_files(
    *, train: int = 4, validation: int = 2, test: int = 0, size: int = 64, classes: int = 2, id2lable: Any = None
) -> Files:
    """The guide's layout; class 0 is "background", the others are "thing-1" and so on."""
    names = {"0": "background", **{str(i): f"thing-{i}" for i in range(1, classes + 1)}}
    files: Files = {"resources/id2lable.json": as_json(names if id2lable is None else id2lable)}
    for part, (split, count) in enumerate((("train", train), ("validation", validation), ("test", test))):
        rows = []
        for number in range(count):
            image, mask, _ = scene(part * 100 + number, classes, size)
            files[f"{split}/images/{number:04d}.png"] = encoded(image)
            files[f"{split}/annotations/{number:04d}.png"] = encoded(mask)
            rows.append({"image": f"images/{number:04d}.png", "seg_map": f"annotations/{number:04d}.png"})
        if count:
            files[f"{split}/{split}.json"] = as_json(rows)
    return files


def detection_files(
    *, train: int = 4, validation: int = 2, test: int = 0, size: int = 64, classes: int = 2, kind: str = "JPEG"
) -> Files:
    """COCO with a category 0 "none" without boxes, as the guide has it; images are JPEG."""
    categories = [{"id": 0, "name": "none"}] + [{"id": i, "name": f"thing-{i}"} for i in range(1, classes + 1)]
    suffix = {"JPEG": "jpg", "PNG": "png"}[kind]
    files: Files = {}
    for part, (split, count) in enumerate((("train", train), ("validation", validation), ("test", test))):
        images: list[dict[str, Any]] = []
        annotations: list[dict[str, Any]] = []
        for number in range(count):
            image, _, boxes = scene(part * 100 + number, classes, size)
            files[f"{split}/{number:04d}.{suffix}"] = encoded(image, kind)
            images.append({"id": number, "file_name": f"{number:04d}.{suffix}", "width": size, "height": size})
            for label, *box in boxes:
                annotations.append(annotation(len(annotations), number, label, box))
        if count:
            files[f"{split}/_annotations.coco.json"] = coco(images, annotations, categories)
    return files


def annotation(number: int, image: int, category: int, box: list[Any], **more: Any) -> dict[str, Any]:
    return {"id": number, "image_id": image, "category_id": category, "bbox": box, "iscrowd": 0, **more}


def coco(images: list[Any], annotations: list[Any] | None, categories: list[Any], **more: Any) -> bytes:
    """A COCO file; `annotations=None` leaves the key out."""
    content = {"info": {}, "licenses": [], "images": images, "categories": categories, **more}
    return as_json(content if annotations is None else {**content, "annotations": annotations})


def as_json(value: Any) -> bytes:
    return json.dumps(value).encode()


def write_zip(path: Path, files: Mapping[str, bytes], root: str = "", compression: int = zipfile.ZIP_STORED) -> Path:
    """Write {name: bytes} as a zip. A name that ends with "/" is an empty folder. `root` goes before every name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in files.items():
            archive.writestr(root + name, content)
    return path


def link(name: str, target: str) -> tuple[zipfile.ZipInfo, bytes]:
    """An entry that is a symbolic link."""
    info = zipfile.ZipInfo(name)
    info.create_system = 3  # Unix: the mode is in the high half of the external attributes
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info, target.encode()


def classification_zip(path: Path, *, root: str = "", **options: Any) -> Path:
    return write_zip(path, classification_files(**options), root)


def segmentation_zip(path: Path, *, root: str = "", **options: Any) -> Path:
    return write_zip(path, segmentation_files(**options), root)


def detection_zip(path: Path, *, root: str = "", **options: Any) -> Path:
    return write_zip(path, detection_files(**options), root)


def checked(path: Path, algorithm: str, limits: archive.Limits = LIMITS, max_pixels: int = 10_000_000) -> Checked:
    """Unpack a zip beside itself and check its layout, as the ingest does, without a database."""
    root, report = path.with_suffix(".data"), Report()
    root.mkdir()
    archive.extract(path, root, limits, report, known={*algorithms.get(algorithm).splits, "resources"})
    layout = None
    if not report.errors:
        layout = algorithms.part(algorithm, "dataset").check(root, report, Scan(max_pixels))
    return Checked(root, report, layout)


ZIPS = {
    "image_classification": classification_zip,
    "semantic_segmentation": segmentation_zip,
    "object_detection": detection_zip,
}
