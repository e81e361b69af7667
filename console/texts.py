"""Stored messages in the reader's language."""

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext

from training.algorithms.base import Message


def show(message: Message | Mapping[str, Any] | None) -> str:
    """The sentence of a `Message`, or of its JSON as status_reason, report and warnings hold it; "" for None."""
    if not message:
        return ""
    if not isinstance(message, Message):
        message = Message.from_json(message)
    # gettext("") would be the catalogue's header.
    return str(Message(gettext(message.text), message.params)) if message.text else ""
