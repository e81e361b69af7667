"""What a page shows of a READY dataset: a page of its samples, and each of them as a small JPEG."""

import hashlib
import io
import json
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from django.conf import settings
from PIL import Image, ImageDraw, ImageFont

from training.algorithms.images import open_mask, open_rgb
from training.algorithms.palette import ink, palette
from training.algorithms.scan import DAMAGED, SUFFIXES, BadImage, Scan
from training.models import Dataset, DatasetStatus

PER_PAGE = 24
SIDE = 320  # pixels of a preview's longer side
OPACITY = 0.55  # of the colours over a segmentation image
FONT_SIZE = 13
THUMBS, KEPT = "thumbs", 60  # folder and number of pictures that are kept of an INVALID dataset


def samples(dataset: Dataset, split: str, page: int = 1, per_page: int = PER_PAGE) -> list[dict[str, Any]]:
    """Rows of a split, sorted by path: {"image", "labels": [class names], "size": (width, height), "objects"}.

    `labels` are the image's label, the classes in its mask, or those of its boxes; `objects` is the number
    of boxes, None where there are none by nature. [] for a split or a page that is not there.
    """
    if split not in dataset.images or page < 1:
        return []
    start = (page - 1) * per_page
    with (dataset.data_folder / "index" / f"{split}.jsonl").open(encoding="utf-8") as file:
        rows = [json.loads(line) for line in islice(file, start, start + per_page)]
    return [_sample(dataset, row) for row in rows]


def _sample(dataset: Dataset, row: dict[str, Any]) -> dict[str, Any]:
    sample = {"image": row["image"], "labels": _class_names(dataset, row), "objects": None}
    if "boxes" in row:
        return {**sample, "size": (row["width"], row["height"]), "objects": len(row["boxes"])}
    return {**sample, "size": open_rgb(dataset.data_folder / row["image"]).size}


def _class_names(dataset: Dataset, row: dict[str, Any]) -> list[str]:
    if "label" in row:
        return [dataset.labels[row["label"]]["name"]]
    if "mask" in row:
        present = set(np.unique(open_mask(dataset.data_folder / row["mask"])).tolist())
        return [label["name"] for label in dataset.labels if label["id"] in present]
    return [dataset.labels[index]["name"] for index in sorted(set(row["labels"]))]


def image(dataset: Dataset, path: str, overlay: bool = False, side: int = SIDE) -> tuple[bytes, str]:
    """-> (JPEG bytes, content type) of an image of the dataset, its longer side at most `side` pixels.

    With `overlay` the mask is laid over it, or its boxes are drawn. `path` is relative to the data folder.
    Raises FileNotFoundError for anything but an image inside it.
    """
    picture = _open(dataset, path)
    picture.thumbnail((side, side), Image.Resampling.BILINEAR)
    row = _row(dataset, path) if overlay else {}
    if "mask" in row:
        picture = _with_mask(picture, open_mask(dataset.data_folder / row["mask"]), dataset.labels)
    elif "boxes" in row:
        _draw_boxes(picture, row, dataset.labels)
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=88)
    return out.getvalue(), "image/jpeg"


def keep_thumbs(dataset: Dataset, root: Path, report: list[dict[str, Any]]) -> None:
    """Keep small pictures of the images that the report names, for a dataset that will have no data folder."""
    folder = dataset.folder / THUMBS
    scan = Scan(settings.IMAGE_MAX_PIXELS)
    named = dict.fromkeys(file for row in report for file in (*row["files"], row["file"]) if file)
    for file in islice((file for file in named if (root / file).is_file()), KEPT):
        try:
            scan.header(root / file)
            picture = open_rgb(root / file)
        except (BadImage, *DAMAGED):
            continue  # it is what the report says it is: there is nothing to show
        picture.thumbnail((SIDE, SIDE), Image.Resampling.BILINEAR)
        folder.mkdir(exist_ok=True)
        picture.save(folder / _thumb_name(file), "JPEG", quality=88)


def has_picture(dataset: Dataset, path: str) -> bool:
    """Whether `image` has something to show for a file of the report; its content is not looked at."""
    if Path(path).suffix.casefold() not in SUFFIXES:
        return False
    if dataset.status == DatasetStatus.READY:
        return (dataset.data_folder / path).is_file()
    return (dataset.folder / THUMBS / _thumb_name(path)).is_file()


def _thumb_name(path: str) -> str:
    return hashlib.sha256(path.encode(errors="replace")).hexdigest()[:20] + ".jpg"


def _open(dataset: Dataset, path: str) -> Image.Image:
    """An image of the dataset; of one without data the picture that was kept. Raises FileNotFoundError."""
    if dataset.data_folder.is_dir():
        return _inside(dataset.data_folder, path)
    return _inside(dataset.folder / THUMBS, _thumb_name(str(path)))


def _inside(folder: Path, path: str) -> Image.Image:
    """The image at `path`, which a stranger wrote: it must not lead out of `folder`."""
    try:
        file = (folder / path).resolve()
        if not file.is_relative_to(folder.resolve()):
            raise FileNotFoundError(path)
        return open_rgb(file)
    except (ValueError, OSError) as error:  # a null byte, a folder, no image: there is no such image
        raise FileNotFoundError(path) from error


def _row(dataset: Dataset, path: str) -> dict[str, Any]:
    """The index row of an image, {} when no split lists it. Lines are only parsed when the path is in them."""
    needle = json.dumps(path, ensure_ascii=False)
    for index in sorted((dataset.data_folder / "index").glob("*.jsonl")):
        with index.open(encoding="utf-8") as file:
            for line in file:
                if needle in line:
                    row: dict[str, Any] = json.loads(line)
                    if row["image"] == path:
                        return row
    return {}


def _with_mask(picture: Image.Image, ids: np.ndarray, labels: list[dict[str, Any]]) -> Image.Image:
    """RGB image and its (H, W) class ids of any size -> the image with each class in its colour."""
    small = np.asarray(Image.fromarray(ids.astype(np.int32)).resize(picture.size, Image.Resampling.NEAREST))
    pixels = np.asarray(picture).astype(np.float32)
    for label, colour in zip(labels, palette(len(labels)), strict=True):
        inside = small == label["id"]
        pixels[inside] = pixels[inside] * (1 - OPACITY) + np.array(colour, np.float32) * OPACITY
    return Image.fromarray(pixels.round().astype(np.uint8))


def _draw_boxes(picture: Image.Image, row: dict[str, Any], labels: list[dict[str, Any]]) -> None:
    """Draw every box of the row with its class, scaled to the picture."""
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(FONT_SIZE)
    scale = picture.width / row["width"], picture.height / row["height"]
    colours = palette(len(labels))
    for (x, y, width, height), index in zip(row["boxes"], row["labels"], strict=True):
        left, top = x * scale[0], y * scale[1]
        corner = max(left, (x + width) * scale[0] - 1), max(top, (y + height) * scale[1] - 1)
        draw.rectangle((left, top, *corner), outline=colours[index], width=2)
        text = _drawable(labels[index])
        place = draw.textbbox((left + 3, max(top - FONT_SIZE - 3, 0)), text, font=font)
        draw.rectangle((place[0] - 2, place[1] - 2, place[2] + 2, place[3] + 2), fill=colours[index])
        draw.text((left + 3, max(top - FONT_SIZE - 3, 0)), text, fill=ink(colours[index]), font=font)


def _drawable(label: dict[str, Any]) -> str:
    """The class name, or its id when Pillow's built-in font has no such letters (Hangul); the page has the names."""
    return label["name"] if label["name"].isascii() else f"#{label['id']}"
