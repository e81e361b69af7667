"""Image files, whole and damaged: the same ones for the same random numbers."""

import io
from random import Random

from PIL import Image

from training.algorithms.images import open_rgb


def image(random: Random, kind: str = "") -> bytes:
    """An image file of noise, so that every byte of it matters."""
    size = (random.randint(1, 40), random.randint(1, 40))
    file = io.BytesIO()
    kind = kind or random.choice(["PNG", "JPEG", "BMP", "WEBP", "GIF", "TIFF", "PPM"])
    Image.frombytes("RGB", size, random.randbytes(size[0] * size[1] * 3)).save(file, kind)
    return file.getvalue()


def is_readable(data: bytes) -> bool:
    try:
        open_rgb(io.BytesIO(data))
    except Exception:  # Pillow raises whatever it likes
        return False
    return True


def damaged(random: Random, data: bytes) -> bytes:
    """Cut off, with some bytes changed, doubled or taken out."""
    changed = bytearray(data)
    for _ in range(random.randint(1, 8)):
        at = random.randrange(len(changed))
        what = random.randrange(5)
        if what == 0:
            del changed[at + 1 :]
        elif what == 1:
            del changed[at : at + random.randint(1, 16)]
            changed += b"" if changed else b"x"
        elif what == 2:
            changed[at:at] = changed[at : at + random.randint(1, 16)]
        else:
            changed[at] = random.randrange(256)
    return bytes(changed)


def no_image(random: Random) -> bytes:
    """Bytes that are no image, though some begin like one."""
    heads = [b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"GIF89a", b"BM", b"RIFF\x10\0\0\0WEBP", b"II*\0", b"P6\n"]
    foreign = [
        b"%!PS-Adobe-3.0\n",
        b"%PDF-1.7\n",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"PK\x03\x04",
        b"\0\0\1\0",
    ]
    while is_readable(data := random.choice(heads + foreign) + random.randbytes(random.choice([0, 1, 7, 100, 5000]))):
        pass
    return data
