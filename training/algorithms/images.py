"""The one way in which every part opens an image: trainer, preview and engine see the same pixels."""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import ExifTags, Image, ImageOps

# Formats with an unmistakable beginning that Pillow decodes itself: EPS would start Ghostscript on a stranger's file,
# and almost any text passes for a TGA.
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "JPEG2000", "AVIF")
MASK_MODES = ("L", "P", "I;16", "I")
TURNED = (5, 6, 7, 8)  # EXIF orientations that swap width and height
# A JPEG's decoder makes an eighth, a quarter or half of the image at once, in a fraction of the time. It is asked to as
# long as this many times the side of the network's input is left: pixels move by 3 of 255 at most, by 12 at an eighth.
DRAFT_GAP = 2

Size = tuple[int, int]  # (width, height)


class NotAMask(ValueError):
    """An image whose pixels are not one number each; the text is its mode."""


class TooManyPixels(ValueError):
    """The text says how many."""


def to_rgb(image: Image.Image) -> Image.Image:
    """Apply the EXIF orientation and convert to RGB; transparency is laid over black as Pillow does.

    16-bit greyscale is scaled to 8 bits: Pillow's own conversion would clip everything above 255 to white.
    """
    ImageOps.exif_transpose(image, in_place=True)
    if image.mode == "RGB":
        return image
    if image.mode.startswith("I"):
        return Image.fromarray((np.asarray(image).astype(np.uint32) >> 8).astype(np.uint8)).convert("RGB")
    return image.convert("RGB")


def open_rgb(source: str | Path | BinaryIO) -> Image.Image:
    """Open, decode and convert. Raises Pillow's UnidentifiedImageError or OSError for what is no image."""
    with Image.open(source, formats=FORMATS) as image:
        image.load()
        return to_rgb(image)


def load_pixels(
    source: str | Path | BinaryIO,
    input_size: Callable[[Size, Mapping[str, Any]], Size],
    preprocessing: Mapping[str, Any],
    max_pixels: float = math.inf,
) -> tuple[np.ndarray, Size]:
    """An image file -> (the network's input (3, H, W) float32, the image's (width, height)).

    Raises as `open_rgb`, and TooManyPixels for an image of more than `max_pixels`, before one of them is decoded.
    `input_size` is the algorithm's. With a "draft_gap" in `preprocessing` a large JPEG is decoded at a fraction of its
    size: trainer and engine both do it, and a model that was trained before there was one sees what it always saw.
    """
    with Image.open(source, formats=FORMATS) as image:
        if image.width * image.height > max_pixels:
            raise TooManyPixels(f"{image.width} x {image.height} pixels")
        size = _turned(image, image.size)
        wanted = input_size(size, preprocessing)
        gap = preprocessing.get("draft_gap")
        if gap:
            width, height = _turned(image, wanted)
            image.draft(None, (gap * width, gap * height))  # does nothing to another format
        image.load()
        return resized_pixels(to_rgb(image), wanted, preprocessing), size


def _turned(image: Image.Image, size: Size) -> Size:
    """`size` as the image's EXIF orientation has it: to the eye from the file, and back."""
    return size[::-1] if image.getexif().get(ExifTags.Base.Orientation) in TURNED else size


def open_mask(source: str | Path | BinaryIO) -> np.ndarray:
    """A segmentation map -> (H, W) int32 of class ids. A palette image's ids are its indices.

    Raises NotAMask for a mode in which a pixel is not one number (RGB and the like).
    """
    with Image.open(source, formats=FORMATS) as image:
        image.load()
        ImageOps.exif_transpose(image, in_place=True)
        if image.mode == "1":
            return np.asarray(image).astype(np.int32)
        if image.mode not in MASK_MODES and not image.mode.startswith("I;16"):
            raise NotAMask(image.mode)
        return np.asarray(image).astype(np.int32)


# What the pretrained networks were trained with: mean and standard deviation of ImageNet, RGB, of values in 0..1.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def shared_preprocessing() -> dict[str, Any]:
    """What "preprocessing" in model.json has beside the size, whatever the algorithm."""
    return {"mean": list(IMAGENET_MEAN), "std": list(IMAGENET_STD), "draft_gap": DRAFT_GAP}


def resized_pixels(image: Image.Image, size: Size, preprocessing: Mapping[str, Any]) -> np.ndarray:
    """RGB image -> (3, height, width) float32, resized to `size` (width, height) and normalised.

    `preprocessing` holds "mean" and "std", three numbers each. `reducing_gap` lets Pillow shrink a large photo
    by whole factors first: several times quicker, and trainer and engine both do it.
    """
    resized = image.resize(size, Image.Resampling.BILINEAR, reducing_gap=3.0)
    scale = 1.0 / (255.0 * np.asarray(preprocessing["std"], dtype=np.float32))
    shift = -np.asarray(preprocessing["mean"], dtype=np.float32) / np.asarray(preprocessing["std"], dtype=np.float32)
    pixels = np.empty((3, size[1], size[0]), dtype=np.float32)
    for channel, plane in enumerate(resized.split()):  # plane by plane: seven times quicker than to transpose
        np.multiply(np.asarray(plane), scale[channel], out=pixels[channel])
        pixels[channel] += shift[channel]
    return pixels
