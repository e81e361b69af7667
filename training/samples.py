"""Three small generated datasets in the guide's layouts, to try the console out: coloured shapes.

Every call writes the same bytes. They are learnable: each class has a shape and a colour of its own. They
are made into a zip and take the ordinary way through the ingest.
"""

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

SHAPES = ("circle", "square", "triangle")
COLOURS = ((214, 57, 57), (47, 119, 204), (242, 183, 5))
SUPERSAMPLING = 4  # shapes are drawn larger and then reduced, so that their edges are smooth
Box = tuple[int, int, int, int]  # left, top, width, height


def write(algorithm: str, path: Path) -> None:
    """Write the sample dataset of `algorithm` as a zip. Raises KeyError for an unknown one."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        SAMPLES[algorithm](lambda name, content: _add(archive, name, content))


Add = Callable[[str, Any], None]


def _classification(add: Add) -> None:
    """64 x 64 PNG, one shape each: 24 / 6 / 6 images a label."""
    for seed, (split, count) in enumerate((("train", 24), ("validation", 6), ("test", 6))):
        rng = np.random.default_rng(100 + seed)
        for label, shape in enumerate(SHAPES):
            for number in range(count):
                image, _mask, _boxes = _scene(rng, 64, [label])
                add(f"{split}/{shape}/{number:03d}.png", image)


def _segmentation(add: Add) -> None:
    """128 x 128 PNG with one to three shapes: 48 / 12 / 12 images; class 0 is the background."""
    for seed, (split, count) in enumerate((("train", 48), ("validation", 12), ("test", 12))):
        rng, rows = np.random.default_rng(200 + seed), []
        for number in range(count):
            image, mask, _boxes = _scene(rng, 128, _some_shapes(rng))
            row = {"image": f"images/{number:03d}.png", "seg_map": f"annotations/{number:03d}.png"}
            add(f"{split}/{row['image']}", image)
            add(f"{split}/{row['seg_map']}", mask)
            rows.append(row)
        add(f"{split}/{split}.json", rows)
    add("resources/id2lable.json", {"0": "background", **{str(n): name for n, name in enumerate(SHAPES, 1)}})


def _detection(add: Add) -> None:
    """160 x 160 PNG with one to three shapes: 48 / 12 / 12 images; COCO with an unused category 0, as exporters do."""
    categories = [{"id": 0, "name": "none", "supercategory": "none"}]
    categories += [{"id": n, "name": name, "supercategory": "shape"} for n, name in enumerate(SHAPES, 1)]
    for seed, (split, count) in enumerate((("train", 48), ("validation", 12), ("test", 12))):
        rng = np.random.default_rng(300 + seed)
        images: list[dict[str, Any]] = []
        annotations: list[dict[str, Any]] = []
        for number in range(count):
            image, _mask, boxes = _scene(rng, 160, _some_shapes(rng))
            add(f"{split}/{number:03d}.png", image)
            images.append({"id": number, "file_name": f"{number:03d}.png", "width": 160, "height": 160})
            for label, box in boxes:
                annotations.append(
                    {
                        "id": len(annotations),
                        "image_id": number,
                        "category_id": label + 1,
                        "bbox": list(box),
                        "area": box[2] * box[3],
                        "segmentation": [],
                        "iscrowd": 0,
                    }
                )
        add(f"{split}/_annotations.coco.json", {"images": images, "categories": categories, "annotations": annotations})


SAMPLES: dict[str, Callable[[Add], None]] = {
    "image_classification": _classification,
    "semantic_segmentation": _segmentation,
    "object_detection": _detection,
}


def _some_shapes(rng: np.random.Generator) -> list[int]:
    return [int(label) for label in rng.permutation(len(SHAPES))[: rng.integers(1, len(SHAPES) + 1)]]


def _scene(
    rng: np.random.Generator, size: int, labels: list[int]
) -> tuple[Image.Image, Image.Image, list[tuple[int, Box]]]:
    """-> (RGB image, mask of label + 1 on 0, [(label, box)]). Shapes stand in cells of a 2 x 2 grid: none overlap."""
    base = rng.integers(60, 190, 3)
    noise = rng.integers(-14, 15, (size, size, 3))
    image = Image.fromarray(np.clip(base + noise, 0, 255).astype(np.uint8))
    mask, boxes = Image.new("L", (size, size)), []
    cell = size if len(labels) == 1 else size // 2
    for label, place in zip(labels, rng.permutation(4)[: len(labels)], strict=True):
        side = int(rng.integers(cell // 2, cell * 9 // 10))
        left, top = (int(v) for v in rng.integers(0, cell - side + 1, 2))
        if cell < size:
            left, top = left + int(place % 2) * cell, top + int(place // 2) * cell
        stencil = _stencil(label, side)
        colour = tuple(int(v) for v in np.clip(np.array(COLOURS[label]) + rng.integers(-25, 26, 3), 0, 255))
        image.paste(colour, (left, top), stencil)
        solid = stencil.point(lambda value: 255 if value > 127 else 0)
        mask.paste(label + 1, (left, top), solid)
        x0, y0, x1, y1 = solid.getbbox() or (0, 0, side, side)
        boxes.append((label, (left + x0, top + y0, x1 - x0, y1 - y0)))
    return image, mask, boxes


def _stencil(label: int, side: int) -> Image.Image:
    """The shape in white on black, `side` pixels wide and high, with smooth edges."""
    large = side * SUPERSAMPLING
    stencil = Image.new("L", (large, large))
    draw = ImageDraw.Draw(stencil)
    if SHAPES[label] == "circle":
        draw.ellipse((0, 0, large - 1, large - 1), fill=255)
    elif SHAPES[label] == "square":
        draw.rectangle((0, 0, large - 1, large - 1), fill=255)
    else:
        draw.polygon(((large // 2, 0), (large - 1, large - 1), (0, large - 1)), fill=255)
    return stencil.resize((side, side), Image.Resampling.BOX)


def _add(archive: zipfile.ZipFile, name: str, content: Any) -> None:
    """Add an image as PNG, anything else as JSON; the date is fixed, so that the zip's checksum is too."""
    if isinstance(content, Image.Image):
        out = io.BytesIO()
        content.save(out, "PNG")
        data = out.getvalue()
    else:
        data = json.dumps(content).encode()
    archive.writestr(zipfile.ZipInfo(name, date_time=(2024, 1, 1, 0, 0, 0)), data)
