"""What is kept of each image while it is decoded: enough to find the same, nearly the same and blank ones later.

Some 400 bytes an image, so 70,000 images take 30 MB. Nothing here looks at a file a second time. Torch-free.
"""

import hashlib
import threading
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image

COLUMNS, ROWS = 18, 16  # of the grey thumbnail
REDUCED = 8  # larger images are first reduced by whole factors to this many times the thumbnail: much quicker
STRIPE = 1_000_000  # pixels that are copied at once to be hashed
BITS = 4  # of the 64: hashes that differ in more are not of nearly the same image
CONTRAST = 3.0  # grey levels (standard deviation): a flatter thumbnail says nothing
PART = 16384  # thumbnails that are compared at once: bounded memory
NEIGHBOURS, ORDERS = 8, 12  # each hash is compared with so many after it, in so many orders of its bits


@dataclass(frozen=True)
class Print:
    """`digest` is equal for equal pixels; `thumb` is ROWS x COLUMNS bytes of grey; `orientation` is EXIF's."""

    digest: bytes
    thumb: bytes
    blank: bool
    orientation: int = 1


def print_of(image: Image.Image, orientation: int = 1) -> Print:
    """The print of a decoded image. `orientation` is kept, and tells images apart that only it makes differ."""
    thumb = _thumb(image)
    blank = thumb.count(thumb[0]) == len(thumb) and _one_colour(image)
    return Print(_digest(image, orientation), thumb, blank, orientation)


def _digest(image: Image.Image, orientation: int) -> bytes:
    width, height = image.size
    digest = hashlib.sha256(f"{image.mode} {width} {height} {orientation}".encode())
    if image.mode in ("P", "PA"):
        digest.update(bytes(image.getpalette() or ()))
    if width * height <= STRIPE:
        digest.update(image.tobytes())
    else:
        rows = max(1, STRIPE // width)
        for top in range(0, height, rows):
            digest.update(image.crop((0, top, width, min(top + rows, height))).tobytes())
    return digest.digest()[:16]


def _thumb(image: Image.Image) -> bytes:
    if image.mode not in ("L", "RGB", "RGBA", "RGBX", "LA", "CMYK", "YCbCr"):
        image = _grey(image)
    factors = image.width // (COLUMNS * REDUCED), image.height // (ROWS * REDUCED)
    if max(factors) > 1:
        image = image.reduce((max(1, factors[0]), max(1, factors[1])))
    return _grey(image).resize((COLUMNS, ROWS), Image.Resampling.BOX).tobytes()


def _grey(image: Image.Image) -> Image.Image:
    """As 8 bits of grey. 16-bit numbers lose their lower half, as in `to_rgb`."""
    if image.mode == "L":
        return image
    if image.mode.startswith("I"):
        return Image.fromarray((np.asarray(image).astype(np.uint32) >> 8).astype(np.uint8))
    return image.convert("LA" if image.mode == "La" else "L").convert("L")


def _one_colour(image: Image.Image) -> bool:
    """Whether every pixel has the same colour; transparency does not count."""
    extrema = image.getextrema()
    bands = extrema if isinstance(extrema[0], tuple) else (extrema,)
    named = zip(image.getbands(), bands, strict=True)
    return all(low == high for name, (low, high) in named if name not in ("A", "a", "X"))  # type: ignore[misc]


class Prints:
    """The prints of a dataset's images by file. Threads may add at the same time."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[Print, tuple[int, int]]] = {}
        self._lock = threading.Lock()

    def add(self, file: str, found: Print, size: tuple[int, int]) -> None:
        """`size` is (width, height) as the image is seen upright."""
        with self._lock:
            self._found[file] = found, size

    @property
    def files(self) -> list[str]:
        return sorted(self._found)

    def __getitem__(self, file: str) -> Print:
        return self._found[file][0]

    def size(self, file: str) -> tuple[int, int]:
        return self._found[file][1]

    def same(self) -> list[list[str]]:
        """Groups of files with the same pixels, sorted; blank images are left out."""
        groups: dict[bytes, list[str]] = defaultdict(list)
        for file in self.files:
            if not self[file].blank:
                groups[self[file].digest].append(file)
        return [files for files in groups.values() if len(files) > 1]

    def similar(self) -> list[list[str]]:
        """Groups of files that look nearly the same but have not the same pixels; one of each group of `same` stands
        for it."""
        first: dict[bytes, str] = {}
        for file in self.files:
            first.setdefault(self[file].digest, file)
        files = list(first.values())
        thumbs = np.frombuffer(b"".join(self[file].thumb for file in files), np.uint8).reshape(-1, ROWS, COLUMNS)
        groups: dict[int, list[int]] = {}
        for one, other in near_pairs(thumbs):
            mine, theirs = groups.setdefault(one, [one]), groups.setdefault(other, [other])
            if mine is not theirs:
                mine += theirs
                groups.update(dict.fromkeys(theirs, mine))
        unique = {id(group): group for group in groups.values()}.values()
        return sorted(sorted(files[index] for index in group) for group in unique)


def near_pairs(thumbs: np.ndarray) -> list[tuple[int, int]]:
    """(n, ROWS, COLUMNS) uint8 -> pairs of indices of thumbnails that show nearly the same.

    Difference hashes (Krawetz 2013, "Kind of Like That") of 9 x 8 cells find the candidates: they are sorted in
    several orders of their bits and each is compared with the next few (Charikar 2002), so the work grows with n,
    however many flat images share a hash. The thumbnails themselves then decide.
    """
    contrast = np.zeros(len(thumbs), np.float32)
    for start in range(0, len(thumbs), PART):
        contrast[start : start + PART] = thumbs[start : start + PART].std(axis=(1, 2), dtype=np.float32)
    usable = np.flatnonzero(contrast >= CONTRAST)
    if len(usable) < 2:
        return []
    bits = _difference_bits(thumbs[usable])
    pairs = np.unique(np.concatenate(list(_candidates(bits))), axis=0)
    keep = []
    for start in range(0, len(pairs), PART):
        part = usable[pairs[start : start + PART]]
        distance = np.abs(thumbs[part[:, 0]].astype(np.int16) - thumbs[part[:, 1]]).mean(axis=(1, 2))
        keep.append(part[distance <= np.minimum(2.5, 0.5 + 0.05 * contrast[part].min(axis=1))])
    return [(int(one), int(other)) for one, other in np.concatenate([*keep, np.zeros((0, 2), np.int64)])]


def _difference_bits(thumbs: np.ndarray) -> np.ndarray:
    """-> (n, 64) of 0 and 1: whether each of 9 x 8 cells is darker than the one at its right."""
    cells = thumbs.reshape(-1, ROWS // 2, 2, COLUMNS // 2, 2).sum(axis=(2, 4), dtype=np.uint16)
    return (cells[:, :, :-1] < cells[:, :, 1:]).reshape(-1, 64)


def _candidates(bits: np.ndarray) -> Iterator[np.ndarray]:
    """Arrays (m, 2) of indices of hashes that differ in at most BITS bits, the smaller index first."""
    orders = np.random.default_rng(0)
    for _ in range(ORDERS):
        packed = np.ascontiguousarray(np.packbits(bits[:, orders.permutation(64)], axis=1))
        packed = packed.view(">u8").ravel().astype(np.uint64)
        order = np.argsort(packed, kind="stable")
        hashes = packed[order]
        for step in range(1, NEIGHBOURS + 1):
            near = np.flatnonzero(np.bitwise_count(hashes[step:] ^ hashes[:-step]) <= BITS)
            yield np.sort(np.stack([order[near], order[near + step]], axis=1), axis=1)
