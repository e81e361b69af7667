"""Odd zips that nothing is wrong with: a word about any of them would be a false alarm."""

import io
import json
import stat
import unicodedata
import zipfile
from typing import Any

import numpy as np
from PIL import Image

from tests.broken import damaged, detection, segmentation
from tests.broken.case import CLASSIFICATION, DETECTION, SEGMENTATION, Case, Expected, fact
from tests.broken.zips import info, packed, pets
from tests.corpus import Files, annotation, as_json, classification_files, encoded, picture


def good(name: str, algorithm: str, make, *facts: Expected) -> Case:
    return Case(name, algorithm, make, facts)


def pictures(name: str, make) -> Case:
    return good(name, CLASSIFICATION, make)


def labelled(cat: str) -> Files:
    """The good files with another name in place of "cat"."""
    return {name.replace("/cat/", f"/{cat}/"): data for name, data in pets().items()}


def raw_names(cat: bytes) -> bytes:
    """A zip whose names are these bytes, without the flag that says UTF-8."""
    return packed(labelled("X" * len(cat))).replace(b"X" * len(cat), cat)


def streamed() -> bytes:
    """As a program writes it into a pipe: sizes come after the content (APPNOTE 4.3.9)."""

    class Pipe(io.RawIOBase):
        def __init__(self) -> None:
            self.written = bytearray()

        def writable(self) -> bool:
            return True

        def write(self, data: Any) -> int:
            self.written += data
            return len(data)

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in pets().items():
            archive.writestr(name, content)
    return bytes(pipe.written)


def of_every_mode() -> Files:
    files = pets()
    for number, mode in enumerate(("L", "1", "P", "LA", "RGBA", "CMYK", "F", "YCbCr")):
        kind, suffix = ("PNG", "png") if mode in ("L", "1", "P", "LA", "RGBA") else ("TIFF", "tif")
        files[f"train/cat/odd{number}.{suffix}"] = encoded(picture(0, 900 + number).convert(mode), kind)
    grey = np.random.default_rng(1).integers(0, 65536, (32, 32)).astype(np.uint16)
    return files | {"train/cat/deep.png": encoded(Image.fromarray(grey))}


def of_every_format() -> Files:
    files = pets()
    for number, kind in enumerate(("JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "JPEG2000", "AVIF")):
        files[f"train/dog/odd{number}.{kind.lower()}"] = encoded(picture(1, 900 + number), kind)
    return files


def animated() -> Files:
    """Several frames or pages, of which the first counts."""
    files = pets()
    for number, (suffix, kind) in enumerate((("gif", "GIF"), ("png", "PNG"), ("webp", "WEBP"), ("tif", "TIFF"))):
        first, *others = (picture(2, 950 + 3 * number + frame) for frame in range(3))
        files[f"train/cat/frames{number}.{suffix}"] = encoded(first, kind, save_all=True, append_images=others)
    return files


def turned() -> Files:
    """Each of the eight orientations that a camera writes."""
    files = pets()
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        files[f"train/dog/turned{orientation}.jpg"] = encoded(
            picture(1, 960 + orientation, (40, 20)), "JPEG", exif=exif
        )
    return files


def odd_suffixes() -> Files:
    names = {
        "train/cat/0.png": "train/cat/0.PNG",
        "train/cat/1.png": "train/cat/1",
        "train/cat/2.png": "train/cat/2.jpg",
    }
    return {names.get(name, name): data for name, data in pets().items()}


def folders_of_their_own() -> bytes:
    """With entries for the folders, and without the right to read anything, as some file servers write them."""
    folders = ("pets/", "pets/train/", "pets/train/cat/", "pets/validation/")
    made = [(info(name, stat.S_IFDIR), b"") for name in folders]
    return packed([*made, *((info(f"pets/{name}", stat.S_IFREG), data) for name, data in pets().items())])


def rubbish() -> Files:
    names = ("__MACOSX/train/cat/._0.png", "train/.DS_Store", "train/cat/Thumbs.db", "desktop.ini", "train/cat/._0.png")
    return pets() | dict.fromkeys(names, b"x")


def streets_of_every_kind() -> Files:
    """Palette, 16 bits and two colours; 255 without a name; a BOM, backslashes, both spellings."""
    files, mask = segmentation.streets(), segmentation.strips
    palette = mask(0, 1, 2, 255)
    palette.putpalette([v for v in range(256) for _ in range(3)])
    files["train/annotations/0000.png"] = encoded(palette)
    files["train/annotations/0001.png"] = encoded(mask(0, 1, 2, kind=np.uint16))
    files["train/annotations/0002.png"] = encoded(mask(0, 255).convert("1"))
    names = {"0": "배경", "1": "도로", "2": "하늘"}
    files["resources/id2label.json"] = json.dumps(names, ensure_ascii=False).encode("utf-8-sig")
    del files["resources/id2lable.json"]
    rows = [{"image": f"images\\{n:04d}.png", "seg_map": f"./annotations/{n:04d}.png", "more": 1} for n in range(4)]
    return files | {"train/train.json": as_json(rows)}


def streets_in_cp949() -> Files:
    files = segmentation.streets()
    names = {"0": "배경", "1": "도로", "2": "하늘", "9": "없음"}
    files["resources/id2lable.json"] = json.dumps(names, ensure_ascii=False).encode("cp949")
    for name in [name for name in files if name.startswith("validation/")]:
        files[name.replace("validation", "test", 1).replace("validation.json", "train.json")] = files[name]
    return {n: changed_a_little(d) if n.startswith("test/images") else d for n, d in files.items()}


def changed_a_little(data: bytes) -> bytes:
    """The image turned by half: another image of the same size."""
    return encoded(Image.open(io.BytesIO(data)).rotate(180))


def gaps() -> Files:
    """Ids that start at 1 and have gaps; whole and broken pixels; a crowd; an image without boxes; keys of others."""
    images = [{"id": 40 - 3 * n, "file_name": f"./{n:04d}.jpg", "coco_url": "http://x/"} for n in range(4)]
    categories = [
        {"id": 17, "name": "dog"},
        {"id": 3, "name": "cat"},
        {"id": 90, "name": "unused", "supercategory": "x"},
    ]
    boxes = [
        annotation(5, 40, 17, [0, 0, 12.5, 12.25], segmentation=[[0, 0, 12, 0, 12, 12]]),
        annotation(9, 37, 3, [4, 4, 20, 20], iscrowd=1, area=300),
        annotation(90, 34, 3, [40, 40, 24.5, 24.5]),
    ]
    content = {"images": images, "categories": categories, "annotations": boxes, "info": "x", "licenses": None}
    raw = json.dumps(content).encode("utf-8-sig")
    validation = detection.content("validation") | {"categories": categories}
    for item in validation["annotations"]:
        item["category_id"] = 3 if item["category_id"] == 1 else 17
    return detection.things() | {detection.TRAIN: raw, detection.VALIDATION: as_json(validation)}


CASES = [
    pictures("good: Korean names in cp949", lambda: raw_names("고양이".encode("cp949"))),
    pictures("good: Korean names in UTF-8 without its flag", lambda: raw_names("고양이".encode())),
    pictures(
        "good: Korean names in letters, as a Mac writes them", lambda: labelled(unicodedata.normalize("NFD", "고양이"))
    ),
    pictures("good: names with spaces, per cent, quotes and emoji", lambda: labelled("my 100%s cat's “best” 😀 <b>")),
    pictures("good: backslashes", lambda: {name.replace("/", "\\"): data for name, data in pets().items()}),
    pictures("good: what operating systems leave", rubbish),
    pictures(
        "good: one folder around everything and a README",
        lambda: {"README.md": b"x"} | {f"pets/{n}": d for n, d in pets().items()},
    ),
    pictures("good: a folder called test around everything", lambda: {f"test/{n}": d for n, d in pets().items()}),
    pictures("good: a folder called Train around everything", lambda: {f"Train/{n}": d for n, d in pets().items()}),
    pictures(
        "good: labels called train and validation",
        lambda: {n.replace("/cat/", "/train/").replace("/dog/", "/test/"): d for n, d in pets().items()},
    ),
    pictures("good: zip64", damaged.zip64),
    pictures("good: comment at the end", lambda: packed(pets(), comment=b"made by hand " * 500)),
    pictures("good: a program before the zip", lambda: b"#!/bin/sh\nexit\n" * 99 + packed(pets())),
    pictures("good: written into a pipe", streamed),
    pictures("good: folders without rights", folders_of_their_own),
    pictures("good: every colour mode", of_every_mode),
    pictures("good: every format", of_every_format),
    pictures("good: animated", animated),
    pictures("good: EXIF orientations", turned),
    pictures("good: suffixes in capitals, missing and wrong", odd_suffixes),
    pictures(
        "good: forty labels",
        lambda: classification_files([f"label {n}" for n in range(40)], train=10, validation=1, size=16),
    ),
    good("good: masks of every kind", SEGMENTATION, streets_of_every_kind),
    good("good: id2lable in cp949, with a gap", SEGMENTATION, streets_in_cp949, fact("class_unused", "", "“없음”")),
    good("good: ids with gaps", DETECTION, gaps, fact("class_unused", "", "“unused”")),
]
