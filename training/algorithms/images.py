"""The one way in which every part opens an image: trainer, preview and engine see the same pixels."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, ImageOps

# Formats with an unmistakable beginning that Pillow decodes itself: EPS would start Ghostscript on a stranger's file,
# and almost any text passes for a TGA.
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "JPEG2000", "AVIF")
MASK_MODES = ("L", "P", "I;16", "I")


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


def open_rgb(source: str | Path | BinaryIO, max_pixels: float = math.inf) -> Image.Image:
    """Open, decode and convert. Raises Pillow's UnidentifiedImageError or OSError for what is no image.

    TooManyPixels for an image of more than `max_pixels`, before one of them is decoded.
    """
    with Image.open(source, formats=FORMATS) as image:
        if image.width * image.height > max_pixels:
            raise TooManyPixels(f"{image.width} x {image.height} pixels")
        image.load()
        return to_rgb(image)


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


def resized_pixels(image: Image.Image, size: tuple[int, int], preprocessing: Mapping[str, Any]) -> np.ndarray:
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
