"""Single images that cannot be used, or hardly: in a classification zip that nothing else is wrong with."""

import gzip
import struct
import zlib

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from tests.broken.case import CLASSIFICATION, Case, Expected, error, warning
from tests.broken.zips import pets
from tests.corpus import encoded, picture

NOTES = "train/cat/notes.txt"


def image(name: str, file: str, make, *problems: Expected) -> Case:
    """`make` gives the bytes of `file`."""
    return Case(name, CLASSIFICATION, lambda: pets() | {file: make()}, problems)


def photo(kind: str) -> bytes:
    return encoded(picture(0, 77, size=(64, 64)), kind)


def png(width: int, height: int, data: bytes = b"") -> bytes:
    """A PNG whose header says what it likes."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">L", len(content)) + kind + content + struct.pack(">L", zlib.crc32(kind + content))

    header = struct.pack(">LLBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


def text_bomb() -> bytes:
    """A PNG whose comment is 20 MB of zeros, packed into 20 KB."""
    made = PngInfo()
    made.add_text("Comment", "0" * 20_000_000, zip=True)
    return encoded(picture(0, 78), "PNG", pnginfo=made)


def changed(raw: bytes, at: int) -> bytes:
    return raw[:at] + bytes([raw[at] ^ 0xFF]) + raw[at + 1 :]


def damaged(file: str, *words: str) -> Expected:
    return error("image_damaged", file, "damaged or cut off", *words, "Save it again or remove it")


def no_image(file: str, *words: str) -> Expected:
    return error("not_an_image", file, *words, "Remove the file or replace it")


def too_large(file: str, pixels: int) -> Expected:
    return error("image_too_large", file, f"{pixels} pixels", "limit is 100000000", "Make it smaller")


CASES = [
    image("corrupt PNG", "train/cat/a.png", lambda: changed(photo("PNG"), 3000), damaged("train/cat/a.png")),
    image("cut PNG", "train/cat/a.png", lambda: photo("PNG")[:4000], damaged("train/cat/a.png")),
    image("PNG of a header only", "train/cat/a.png", lambda: photo("PNG")[:33], damaged("train/cat/a.png")),
    image(
        "PNG with fewer rows than it says",
        "train/cat/a.png",
        lambda: png(50, 50, b"\0" * 99),
        damaged("train/cat/a.png"),
    ),
    image("cut JPEG", "train/dog/a.jpg", lambda: photo("JPEG")[:-300], damaged("train/dog/a.jpg", "truncated")),
    image("JPEG of a header only", "train/dog/a.jpg", lambda: photo("JPEG")[:25], damaged("train/dog/a.jpg")),
    image("cut WebP", "train/dog/a.webp", lambda: photo("WEBP")[:-50], damaged("train/dog/a.webp")),
    image("cut GIF", "train/dog/a.gif", lambda: photo("GIF")[:-900], damaged("train/dog/a.gif")),
    image("cut TIFF", "train/dog/a.tif", lambda: photo("TIFF")[:-900], damaged("train/dog/a.tif")),
    image("text named .png", "train/cat/a.png", lambda: b"this is a text", no_image("train/cat/a.png")),
    image(
        "web page named .jpg",
        "train/cat/a.jpg",
        lambda: b"<!DOCTYPE html><html>404</html>",
        no_image("train/cat/a.jpg"),
    ),
    image("zero bytes", "validation/dog/a.jpg", lambda: b"", no_image("validation/dog/a.jpg", "empty")),
    image("all bytes zero", "train/cat/a.png", lambda: bytes(5000), no_image("train/cat/a.png")),
    image("gzip named .png", "train/cat/a.png", lambda: gzip.compress(photo("PNG")), no_image("train/cat/a.png")),
    image(
        "PostScript named .png",
        "train/cat/a.png",
        lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        no_image("train/cat/a.png"),
    ),
    image(
        "SVG",
        "train/cat/a.svg",
        lambda: b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>',
        error("image_format", "train/cat/a.svg", "SVG", "Save it as PNG or JPEG"),
    ),
    image(
        "HEIC of a telephone",
        "train/dog/a.heic",
        lambda: struct.pack(">L", 24) + b"ftypheic" + bytes(4) + b"mif1heic" + bytes(400),
        error("image_format", "train/dog/a.heic", "HEIC", "Save it as PNG or JPEG"),
    ),
    image(
        "HEIC named .jpg",
        "train/dog/a.jpg",
        lambda: struct.pack(">L", 24) + b"ftypheic" + bytes(4) + b"mif1heic" + bytes(400),
        error("image_format", "train/dog/a.jpg", "HEIC", "Save it as PNG or JPEG"),
    ),
    image(
        "PDF",
        "train/dog/a.pdf",
        lambda: b"%PDF-1.7\n" + bytes(300),
        warning("left_out", "train/dog/a.pdf", "not an image and is left out"),
    ),
    image(
        "PNG with a text that unpacks to 20 MB", "train/cat/a.png", text_bomb, damaged("train/cat/a.png", "too large")
    ),
    image("text among images", NOTES, lambda: b"notes", warning("left_out", NOTES, "not an image and is left out")),
    image(
        "1 x 1",
        "train/cat/a.png",
        lambda: encoded(Image.new("RGB", (1, 1))),
        warning("image_tiny", "train/cat/a.png", "1 x 1", "Remove it or"),
    ),
    image(
        "200 x 3",
        "train/cat/a.png",
        lambda: encoded(picture(0, 5, (200, 3))),
        warning("image_tiny", "train/cat/a.png", "200 x 3", "Remove it or"),
    ),
    image("0 x 0", "train/cat/a.png", lambda: png(0, 0), damaged("train/cat/a.png")),
    image(
        "header of 20,000 x 20,000",
        "train/cat/a.png",
        lambda: png(20_000, 20_000),
        too_large("train/cat/a.png", 400_000_000),
    ),
    image(
        "header of 2 thousand million pixels",
        "train/cat/a.png",
        lambda: png(50_000, 40_000),
        error("image_too_large", "train/cat/a.png", "Make it smaller"),
    ),
    image(
        "colours in LAB",
        "train/cat/a.tif",
        lambda: encoded(Image.new("LAB", (32, 32)), "TIFF"),
        error("image_mode", "train/cat/a.tif", "LAB", "Save it as RGB"),
    ),
    Case(
        "five images broken in five ways, all of them listed",
        CLASSIFICATION,
        lambda: (
            pets()
            | {
                "train/cat/a.png": photo("PNG")[:4000],
                "train/cat/b.jpg": photo("JPEG")[:-300],
                "train/dog/c.png": b"text",
                "validation/cat/d.png": png(20_000, 20_000),
                "validation/dog/e.jpg": b"",
            }
        ),
        (
            damaged("train/cat/a.png"),
            damaged("train/cat/b.jpg"),
            no_image("train/dog/c.png"),
            too_large("validation/cat/d.png", 400_000_000),
            no_image("validation/dog/e.jpg", "empty"),
        ),
    ),
]
