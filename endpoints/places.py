"""Which engine is which: its place among the engines of this host, told by the name of its socket."""

import re
from pathlib import Path
from typing import NamedTuple

from endpoints import routes

NAME = re.compile(r"(?P<resource>[^-]+)(-(?P<deployment>\d+)-(?P<replica>\d+))?\.sock")


class Place(NamedTuple):
    """One engine of a resource's deployment. Deployment 0: of a console that did not count them yet."""

    resource_id: str
    deployment: int
    replica: int

    @classmethod
    def of(cls, name: str) -> "Place | None":
        """From the file name of a socket; None when it is not an engine's."""
        found = NAME.fullmatch(name)
        return cls(found["resource"], int(found["deployment"] or 0), int(found["replica"] or 0)) if found else None

    @property
    def socket(self) -> Path:
        return routes.socket_path(*self)
