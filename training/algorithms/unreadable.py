"""What to say of a file in which Pillow finds no image: by its first bytes. Torch-free."""

import re
from pathlib import Path

from training.algorithms.base import Message
from training.algorithms.base import gettext_noop as _

HEAD = 512  # bytes
# What begins like this is an image of a kind that can be read, but its header is not whole.
KNOWN = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"II*\x00", b"MM\x00*", b"\x00\x00\x00\x0cjP")
HEIC = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}  # brands of ISO/IEC 23008-12
OTHERS = ((re.compile(rb"\s*(<\?xml.*?)?<svg", re.DOTALL), "SVG"), (re.compile(rb"8BPS"), "PSD"))


def why(path: Path) -> tuple[str, Message]:
    """-> (code of the problem, sentence). Raises OSError."""
    with path.open("rb") as file:
        head = file.read(HEAD)
    if not head.strip(b"\x00"):
        return "not_an_image", Message(_("The file is empty, so it is no image. Remove the file or replace it."))
    if kind := _kind(head):
        text = _("This is an image of the kind %(kind)s, which is not supported. Save it as PNG or JPEG.")
        return "image_format", Message(text, {"kind": kind})
    if head.startswith(KNOWN):
        text = _("The image is damaged or cut off (%(reason)s). Save it again or remove it.")
        return "image_damaged", Message(text, {"reason": Message(_("its header is not whole"))})
    return "not_an_image", Message(_("This is not an image. Remove the file or replace it."))


def _kind(head: bytes) -> str:
    """The name of an image format that is not read; "" for anything else."""
    if head[4:8] == b"ftyp" and head[8:12] in HEIC:
        return "HEIC"
    return next((name for pattern, name in OTHERS if pattern.match(head)), "")
