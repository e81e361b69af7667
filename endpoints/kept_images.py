"""The images of a stage's recent requests, where the stage keeps them: small JPEGs that only the console's user reads.

They are made anew of the pixels, so a place or a camera that a photo's EXIF names is not kept. A file goes with its
record, with its stage, and when the stage stops keeping images; `sweep()` removes what a killed process left behind.
"""

import io
import logging
import secrets
import shutil
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from django.conf import settings
from PIL import Image

from endpoints.first_image import first_image
from endpoints.models import RequestRecord, Stage
from training.algorithms.images import FORMATS, to_rgb

if TYPE_CHECKING:
    from endpoints.statistics import Call

log = logging.getLogger(__name__)

SIDE = 640  # pixels of the longer side
QUALITY = 85
AT_ONCE = 10  # images of one write, about a second: a busy stage must not spend its time on them
MAX_PIXELS = 16_000_000  # after a JPEG's draft mode; a larger image is not kept
YOUNG_SECONDS = 60  # a file whose record may still be in a transaction


def stages_folder() -> Path:
    return Path(settings.CONSOLE_HOME) / "stages"


def folder(stage_id: str) -> Path:
    return stages_folder() / stage_id / "images"


def path(record: RequestRecord) -> Path | None:
    """The file of a record's image; None when it has none, or no longer."""
    file = folder(record.stage_id) / record.image
    return file if record.image and file.is_file() else None


def reduced(calls: "Sequence[Call]") -> dict[int, bytes]:
    """Small JPEGs of the first images of the newest calls that have a body, by the place of their call."""
    wanted = [place for place, call in enumerate(calls) if call.body][-AT_ONCE:]
    found = {place: _reduce(calls[place]) for place in wanted}
    return {place: jpeg for place, jpeg in found.items() if jpeg}


def _reduce(call: "Call") -> bytes | None:
    """None for a body without an image that can be read."""
    source = first_image(call.body, call.content_type)
    if not source:
        return None
    try:
        with Image.open(io.BytesIO(source), formats=FORMATS) as image:
            image.draft("RGB", (SIDE, SIDE))  # a JPEG is decoded at a fraction of its size
            if image.width * image.height > MAX_PIXELS:
                return None
            image.load()
            small = to_rgb(image)
        small.thumbnail((SIDE, SIDE), Image.Resampling.BILINEAR)
        out = io.BytesIO()
        small.save(out, "JPEG", quality=QUALITY)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        log.debug("The image of a call cannot be kept: %s", error)
        return None
    return out.getvalue()


def keep(stage_id: str, jpeg: bytes) -> str:
    """-> the file's name; "" when the disk does not take it: that must cost no statistics. A half is swept away."""
    name = f"{secrets.token_hex(12)}.jpg"
    file = folder(stage_id) / name
    try:
        folder(stage_id).mkdir(mode=0o700, parents=True, exist_ok=True)
        file.touch(mode=0o600)
        file.write_bytes(jpeg)
    except OSError as error:
        log.warning("An image of stage %s cannot be kept: %s", stage_id, error)
        return ""
    return name


def remove(stage_id: str, names: Iterable[str]) -> None:
    for name in names:
        (folder(stage_id) / name).unlink(missing_ok=True)


def clear(stage_id: str) -> None:
    """Remove all of a stage, folder and all."""
    shutil.rmtree(stages_folder() / stage_id, ignore_errors=True)  # robust: the next sweep tries again


def sweep() -> None:
    """Remove what belongs to no record: of a process killed between file and row, of a stage that is gone."""
    found, young = list(stages_folder().glob("*")), time.time() - YOUNG_SECONDS
    keeping = set(Stage.objects.filter(keep_images=True).values_list("pk", flat=True))
    for stage in found:
        if stage.name not in keeping:
            clear(stage.name)
            continue
        named = set(RequestRecord.objects.filter(stage_id=stage.name).values_list("image", flat=True))
        for file in folder(stage.name).glob("*.jpg"):
            if file.name not in named and _changed(file) < young:
                file.unlink(missing_ok=True)


def _changed(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except FileNotFoundError:
        return time.time()
