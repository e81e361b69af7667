"""What a service raises when it will not do what was asked. The page and the API turn it into an answer.

A wrong field is Django's own `ValidationError` with a dict; these are for the rest.
"""

from collections.abc import Sequence
from typing import Any

from training.algorithms.base import Message


class ServiceError(Exception):
    def __init__(self, message: Message) -> None:
        super().__init__(str(message))
        self.message = message


class Conflict(ServiceError):
    """The object's state, or another object, is in the way. `blockers` are the objects in the way."""

    def __init__(self, message: Message, blockers: Sequence[Any] = ()) -> None:
        super().__init__(message)
        self.blockers = list(blockers)
