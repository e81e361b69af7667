"""A run folder has one trainer: the one whose attempt config.json names. Any other writes nothing and ends.

When the host of a trainer cannot be reached any more, another host takes the training over after its lease has run
out, and gives the folder another attempt first. The old trainer may still live; it looks here before each event and
before a checkpoint or the model gets its name, which comes down to about once a second. A checkpoint that it was
writing at that moment is removed, or does not verify against its manifest.
"""

import json
import os
from pathlib import Path


class Displaced(BaseException):
    """Another trainer has been given the run folder. Not an Exception: no library may swallow it."""


class Fence:
    """Made when the trainer begins; `check()` before anything is written that others read."""

    def __init__(self, run: Path) -> None:
        self._path = run / "config.json"
        self.attempt = os.environ.get("TRAINING_ATTEMPT") or self._named()

    def check(self) -> None:
        """Raises Displaced when the folder is another trainer's now, or gone."""
        if self._named() != self.attempt:
            raise Displaced

    def _named(self) -> str | None:
        """ "" in a folder that was made by hand, None when there is no folder."""
        try:
            return str(json.loads(self._path.read_text(encoding="utf-8")).get("attempt", ""))
        except FileNotFoundError:
            return None
