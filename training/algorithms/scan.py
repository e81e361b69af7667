"""Reading every image of a dataset once: in parallel, in bounded memory, trusting none of them. Torch-free."""

import os
import re
import struct
import threading
import time
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

from PIL import Image, UnidentifiedImageError

from training.algorithms import unreadable
from training.algorithms.base import Message, Problem
from training.algorithms.base import gettext_noop as _
from training.algorithms.images import FORMATS
from training.algorithms.prints import Prints, print_of
from training.algorithms.second import Looked, Second

SUFFIXES = {".png", ".jpg", ".jpeg", ".jpe", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".jp2", ".avif"}
# What Pillow's decoders raise for damaged files, beyond OSError.
DAMAGED = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    KeyError,
    IndexError,
    TypeError,
    RuntimeError,
    struct.error,
    zlib.error,
)
# The modes that Pillow converts to RGB, or `to_rgb` does. LAB and HSV, for two, are not among them.
CONVERTIBLE = {"1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBX", "RGBa", "CMYK", "YCbCr", "I", "F"}
CONVERTIBLE |= {"I;16", "I;16L", "I;16B", "I;16N"}
SWAPPED = {5, 6, 7, 8}  # EXIF orientations that exchange width and height
LARGE = 20_000_000  # pixels: of these, one at a time is in memory
PILLOWS_LIMIT = 2 * (Image.MAX_IMAGE_PIXELS or 0)  # pixels: a file whose header says more is not opened
COMMON = (".png", ".jpg", ".jpeg", ".PNG", ".JPG", ".JPEG")  # what a file must end with to be looked at on its arrival
SMALL_FILE = 16384  # bytes: larger ones are worth threads, and some of them may be masks
TINY = 8  # pixels: a side below this is worth a warning
QUICK = 0.001  # seconds of the CPU a file: what takes longer is worth a thread
MANY = 30  # chunks: more than these are worth a second process, whose start takes half a second
CHUNK = 32  # files a unit of work, so that handing work over costs little

Item = TypeVar("Item")
Result = TypeVar("Result")
Work = Callable[[Sequence[Item]], list[Result]]


class BadImage(Exception):
    """An image that cannot be used; `problem` says why, with an empty `file`."""

    def __init__(self, code: str, text: str, **params: Any) -> None:
        super().__init__(text)
        self.problem = Problem(code, Message(text, params))


@dataclass
class Scan:
    """How the images of one dataset are read: limit, what to tell of the progress, how many threads.

    `progress(phase, done, total)` is called from the caller's thread. Large images are decoded in
    threads, as Pillow and zlib release the GIL; small ones are not worth it, there a second process helps.
    """

    max_pixels: int
    progress: Callable[[str, int, int], None] = lambda phase, done, total: None
    threads: int = field(default_factory=lambda: min(8, os.cpu_count() or 1))
    prints: Prints = field(default_factory=Prints)
    _arrived: list[str] = field(default_factory=list)  # small files since the second process was last given some
    _chunks: int = 0  # of files that have arrived
    _seen: dict[str, Looked] = field(default_factory=dict)  # by the second process, until asked for
    _large: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._second = Second(self.max_pixels)

    def __enter__(self) -> "Scan":
        return self

    def __exit__(self, *_exception: object) -> None:
        self._second.end()

    def arrived(self, path: str, size: int) -> None:
        """A file of `size` bytes has just been unpacked. Where there are many small ones the second process looks at
        as many of them as it can meanwhile. None of them may change before they are asked for."""
        if size > SMALL_FILE or not path.endswith(COMMON):
            return
        self._arrived.append(path)
        if len(self._arrived) < CHUNK:
            return
        paths, self._arrived = self._arrived, []
        self._chunks += 1
        if self._chunks > MANY:
            self._second.start()
        self._seen |= self._second.collect(wait=False)
        if self._second.is_free():
            self._second.hand(paths)

    def each(
        self,
        phase: str,
        function: Callable[[Item], Result],
        items: Sequence[Item],
        path: Callable[[Item], str] | None = None,
    ) -> Iterator[tuple[Item, Result]]:
        """(item, function(item)) in the order of `items`; only a few chunks are in flight at any time.

        `path`: the image that `function` calls `image` for; with it a second process can help.
        """

        def work(chunk: Sequence[Item]) -> list[Result]:
            return [function(item) for item in chunk]

        chunks = deque(items[start : start + CHUNK] for start in range(0, len(items), CHUNK))
        done = 0
        for chunk, results in chain(self._quickly(work, chunks, path), self._in_threads(work, chunks)):
            yield from zip(chunk, results, strict=True)
            done += len(chunk)
            self.progress(phase, done, len(items))

    def _quickly(
        self, work: Work[Item, Result], chunks: "deque[Sequence[Item]]", path: Callable[[Item], str] | None
    ) -> Iterator[tuple[Sequence[Item], list[Result]]]:
        """Chunks of small files, one here and, where there are many, one in a second process. Ends with large ones."""
        quick = True
        with self._second as second:
            self._seen |= second.collect()
            while chunks and quick:
                if path and len(chunks) > MANY:
                    second.start()
                began, chunk = time.thread_time(), chunks.popleft()
                if path and chunks and second.is_free():
                    other = chunks.popleft()
                    second.hand([one for one in map(path, other) if one not in self._seen])
                    yield chunk, work(chunk)
                    self._seen |= second.collect()
                    yield other, work(other)
                else:
                    yield chunk, work(chunk)
                    quick = time.thread_time() - began <= QUICK * len(chunk)

    def _in_threads(
        self, work: Work[Item, Result], chunks: "deque[Sequence[Item]]"
    ) -> Iterator[tuple[Sequence[Item], list[Result]]]:
        waiting: deque[tuple[Sequence[Item], Future[list[Result]]]] = deque()
        with ThreadPoolExecutor(self.threads) as pool:
            while chunks or waiting:
                while chunks and len(waiting) < self.threads * 2:
                    chunk = chunks.popleft()
                    waiting.append((chunk, pool.submit(work, chunk)))
                chunk, future = waiting.popleft()
                yield chunk, future.result()

    def room(self, size: tuple[int, int]) -> AbstractContextManager[object]:
        """Hold this while an image of `size` is in memory: large ones wait for each other."""
        return self._large if size[0] * size[1] > LARGE else nullcontext()

    def image(self, path: Path | str, file: str = "") -> tuple[int, int]:
        """Decode the whole image and keep its print as that of `file`. -> (width, height) after EXIF rotation.

        Raises BadImage.
        """
        seen = str(path) in self._seen
        size, found = self._seen.pop(str(path)) if seen else self.look(path, keep=bool(file))
        if file and found:
            self.prints.add(file, found, size)
        return size

    def header(self, path: Path) -> tuple[int, int]:
        """As `image`, but the pixels are not looked at: quick, and safe before a full decode."""
        return self.look(path, decode=False)[0]

    def look(self, path: Path | str, *, decode: bool = True, keep: bool = False) -> Looked:
        """-> (size as in `image`, the image's print when it is to be kept). Raises BadImage."""
        found = None
        try:
            with Image.open(path, formats=FORMATS) as image:
                width, height = image.size
                if width * height > self.max_pixels:
                    text = _("The image is too large (%(size)s); the limit is %(limit)s pixels. Make it smaller.")
                    raise BadImage("image_too_large", text, size=size_text(image.size), limit=self.max_pixels)
                with self.room(image.size):
                    if decode:
                        image.load()
                    if image.mode not in CONVERTIBLE:
                        text = _("The image's colours are stored as %(mode)s, which is not supported. Save it as RGB.")
                        raise BadImage("image_mode", text, mode=image.mode)
                    orientation = orientation_of(image)
                    size = (height, width) if orientation in SWAPPED else (width, height)
                    if keep:
                        found = print_of(image, orientation)
        except Image.DecompressionBombError as error:  # Pillow's own limit, in case ours is set higher
            text = _("The image has %(pixels)s pixels; the limit is %(limit)s. Make it smaller.")
            pixels = next(iter(re.findall(r"\d+", str(error))), "?")  # there is no image object to ask
            limit = min(self.max_pixels, PILLOWS_LIMIT)
            raise BadImage("image_too_large", text, pixels=pixels, limit=limit) from error
        except UnidentifiedImageError as error:
            code, message = unreadable.why(Path(path))
            raise BadImage(code, message.text, **message.params) from error
        except DAMAGED as error:
            text = _("The image is damaged or cut off (%(reason)s). Save it again or remove it.")
            raise BadImage("image_damaged", text, reason=str(error)) from error
        return size, found


def orientation_of(image: Image.Image) -> int:
    """EXIF's orientation, 1 (upright) to 8. Pillow turns a TIFF by itself, from its size on: it always is upright.

    Where nothing came with the pixels nothing is looked for: half the time.
    """
    if image.format == "TIFF" or (not image.info and image.format in ("PNG", "JPEG", "BMP", "PPM")):
        return 1
    orientation: Any = image.getexif().get(0x0112)
    return orientation if orientation in range(2, 9) else 1


def size_text(size: tuple[Any, Any]) -> str:
    return f"{size[0]} x {size[1]}"


def tiny(size: tuple[int, int], file: str) -> list[Problem]:
    """A warning when an image can be trained on but hardly shows anything."""
    if min(size) >= TINY:
        return []
    text = _("The image is only %(width)s x %(height)s pixels: it hardly shows anything. Remove it or replace it.")
    params = {"width": size[0], "height": size[1]}
    return [Problem("image_tiny", Message(text, params), file, "warning")]
