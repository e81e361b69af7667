"""A database whose disk is full: what a runner has to write waits until there is room, instead of being lost."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from django.db import OperationalError

from training import disk, shutdown

logger = logging.getLogger(__name__)
WAIT_SECONDS = 2.0
T = TypeVar("T")


def patiently(work: Callable[[], T]) -> T:
    """What `work` returns, done again until the disk takes it. Raises OperationalError when the worker shuts down."""
    while True:
        try:
            return work()
        except OperationalError as error:
            if disk.reason(error) is None or shutdown.requested():
                raise
            logger.warning("the database's disk takes nothing, it is tried again: %s", error)
        time.sleep(WAIT_SECONDS)


@contextmanager
def for_now() -> Iterator[None]:
    """What the disk of the database does not take within is left for the next time."""
    try:
        yield
    except OperationalError as error:
        if disk.reason(error) is None:
            raise
        logger.warning("the database's disk takes nothing now: %s", error)
