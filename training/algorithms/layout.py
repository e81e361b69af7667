"""What the three layouts share: finding splits, reading JSON, paths inside a split, the index. Torch-free."""

import json
import re
import unicodedata
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from pathlib import Path, PurePosixPath
from typing import Any, TypeGuard

import numpy as np

from training.algorithms.base import Message
from training.algorithms.base import gettext_noop as _
from training.archive import PATH_BYTES
from training.report import Report
from training.unpack import NAME_BYTES

JSON_BYTES = 512 * 1024 * 1024
LABEL_LENGTH = 80  # characters: the name of a per-class metric has to fit in the database
HALF_A_PAIR = re.compile(r"\\u[dD][89a-fA-F]")  # how JSON spells half of a surrogate pair
ALIASES = {
    "train": {"train", "training", "trainset"},
    "validation": {"validation", "valid", "val", "dev", "eval"},
    "test": {"test", "testing", "tests", "testset"},
    "resources": {"resources", "resource"},
}


@dataclass
class Layout:
    """The normalised dataset. docs/contracts.md has the format of labels and rows.

    `rows`, `counts`: by split; `counts[split][class name]` is images (detection: boxes). `sizes`: (width, height)
    of every image.
    """

    labels: list[dict[str, Any]]
    rows: dict[str, list[dict[str, Any]]]
    counts: dict[str, dict[str, int]]
    sizes: list[tuple[int, int]] = field(default_factory=list)

    @property
    def images(self) -> dict[str, int]:
        return {split: len(rows) for split, rows in self.rows.items()}

    def write(self, root: Path, algorithm: str) -> None:
        """Write labels.json, index/<split>.jsonl and dataset.json into the data folder."""
        (root / "index").mkdir()
        for split, rows in self.rows.items():
            with (root / "index" / f"{split}.jsonl").open("w", encoding="utf-8") as file:
                for row in sorted(rows, key=lambda row: row["image"]):
                    file.write(json.dumps(row, ensure_ascii=False) + "\n")
        median = np.median(np.array(self.sizes, dtype=np.int64), axis=0).round().astype(int).tolist()
        facts = {"algorithm": algorithm, "images": self.images, "counts": self.counts, "median_size": median}
        for name, content in (("labels.json", self.labels), ("dataset.json", facts)):
            (root / name).write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


def find_splits(root: Path, wanted: Mapping[str, bool], report: Report) -> list[str]:
    """The folders of `wanted` ({folder: required}) that are there, in its order. A missing required one is an error."""
    found = [name for name in wanted if (root / name).is_dir()]
    for name, required in wanted.items():
        lookalike = _lookalike(root, name)
        if name in found or not (required or lookalike):
            continue
        if "/" in lookalike:
            text = _("“%(name)s” is too deep: “%(lookalike)s”. Move it up: only one folder may be around everything.")
        elif (root / lookalike).is_file():
            text = _(
                "“%(name)s” must be a folder, not a file such as “%(lookalike)s”. Unpack it, then zip the folders."
            )
        elif lookalike:
            text = _("The folder “%(name)s” is missing, but there is “%(lookalike)s”. Rename it.")
        else:
            text = _("The folder “%(name)s” is missing. It must be at the top of the zip, or in the only folder there.")
        mend = "nested_root" if "/" in lookalike and len(_nested(root, name)) == 1 else ""
        if mend:
            report.plans.setdefault(mend, []).append([lookalike, name])
        params = {"name": name, "lookalike": lookalike}
        (report.error if required else report.warning)("split_missing", text, mend=mend, **params)
    return found


def _lookalike(root: Path, name: str) -> str:
    """What was probably meant: another spelling at the top, the right one deeper down, or a zip of it. Else ""."""
    for folder in sorted(path for path in root.iterdir() if path.is_dir()):
        if folder.name != name and _alike(folder.name.strip().casefold(), name):
            return folder.name
    if nested := _nested(root, name):
        return nested[0]
    packed = (file.name for file in sorted(root.iterdir()) if file.is_file())
    return next((file for file in packed if file.casefold().partition(".")[0] == name), "")


def _nested(root: Path, name: str) -> list[str]:
    """Folders of this name that lie one or two too deep."""
    folders = [path for pattern in (f"*/{name}", f"*/*/{name}") for path in sorted(root.glob(pattern)) if path.is_dir()]
    inner = [path.relative_to(root) for path in folders]
    return [path.as_posix() for path in inner if not set(ALIASES) & set(path.parts[:-1])]


def _alike(spelling: str, name: str) -> bool:
    """Whether `spelling` is another word for the folder `name`, or that name with a slip of the pen."""
    if spelling in set().union(*ALIASES.values()):
        return spelling in ALIASES[name]
    slip = sorted(spelling) == sorted(name) or SequenceMatcher(None, spelling, name).ratio() > 0.8
    return slip and spelling[:1] == name[:1]


def read_json(root: Path, file: str, kind: type, shape: str, report: Report) -> Any:
    """The content of a JSON file, an object of type `kind`, or None after an error was added.

    `shape` is the sentence that says what the file must be. UTF-8 with or without BOM, else cp949.
    """
    path = root / file
    if path.stat().st_size > JSON_BYTES:
        report.error("json_too_large", _("The file is larger than %(limit)s bytes. Split it."), file, limit=JSON_BYTES)
        return None
    try:
        text = decoded(path.read_bytes())
        content = json.loads(text)
        if HALF_A_PAIR.search(text):  # maybe: a whole pair is a letter like any other
            _check_letters(content)
    except (ValueError, RecursionError) as error:
        reason = error.args[0] if error.args and isinstance(error.args[0], Message) else str(error)
        text = _("The file is not valid JSON (%(reason)s). Correct it or export it again.")
        report.error("json_invalid", text, file, reason=reason)
        return None
    if not isinstance(content, kind):
        report.error("json_shape", shape, file)
        return None
    return content


def _check_letters(content: Any) -> None:
    """Raises ValueError(Message) for half a letter: nobody could store or show it."""
    try:
        json.dumps(content, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        half = ascii(error.object[error.start : error.end])
        raise ValueError(Message(_("%(half)s is half a letter"), {"half": half})) from error


def decoded(raw: bytes) -> str:
    """Raises ValueError(Message) for what is no text."""
    if not raw.strip():
        raise ValueError(Message(_("it is empty")))
    for encoding in ("utf-8-sig", "cp949"):
        with suppress(UnicodeDecodeError):
            return raw.decode(encoding)
    raise ValueError(Message(_("it is neither UTF-8 nor cp949")))


def inside(split: str, path: Any) -> str:
    """`path`, written relative to the split's folder, relative to the data folder; "" when it is none or leaves it,
    or is longer than any path of a zip can be."""
    if not isinstance(path, str):
        return ""
    clean = PurePosixPath(unicodedata.normalize("NFC", path.replace("\\", "/")))
    if clean.is_absolute() or ".." in clean.parts or not clean.parts or "\x00" in path:
        return ""
    if len(path.encode()) > PATH_BYTES or any(len(part.encode()) > NAME_BYTES for part in clean.parts):
        return ""
    return f"{split}/{clean}"


def is_whole(value: Any) -> TypeGuard[int]:
    """Whether a JSON value is a whole number (true and false are not) that every language can hold exactly."""
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**53


def is_number(value: Any) -> TypeGuard[float]:
    """Whether a JSON value is a finite number of a size that makes sense in pixels."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 2**53


def check_label(name: Any, file: str, report: Report) -> bool:
    """Whether `name` can be the name of a class; adds an error when it cannot."""
    if not isinstance(name, str) or not name.strip():
        text = _("A class has no name, or one that is not a text: %(name)s. Give it a name.")
        report.error("label_name", text, file, name=repr(name)[:LABEL_LENGTH])
        return False
    if len(name) > LABEL_LENGTH:
        text = _("The class name “%(name)s” is longer than %(limit)s characters. Shorten it.")
        report.error("label_name", text, file, name=name, limit=LABEL_LENGTH)
        return False
    return True
