"""How a service's refusal looks on a page."""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from console.links import url_of
from console.templatetags.console import message
from training.errors import Conflict, ServiceError

LISTED = 5  # objects in the way that are named
NAMING = ("names", "stages", "name")  # parameters of the message that say what is in the way
PLACE = "\0"  # in no text: where the links come


def explain(error: ServiceError) -> SafeString:
    """The reason in the reader's language; the names of the objects in the way are links to them."""
    stored = error.message.as_json()
    blockers = error.blockers if isinstance(error, Conflict) else []
    if not blockers:
        return format_html("{}", message(stored))
    named = next((name for name in NAMING if name in stored["params"]), "")
    links = _links(blockers, within=named != "stages")
    if not named:
        return format_html("{} {}", message(stored), links)
    before, _, after = message({**stored, "params": {**stored["params"], named: PLACE}}).partition(PLACE)
    return format_html("{}{}{}", before, links, after)


def _links(blockers: list[Any], within: bool) -> SafeString:
    """The first of them, and how many more there are. `within`: with the endpoint that a stage belongs to."""
    rows = []
    for blocker in blockers[:LISTED]:
        endpoint = getattr(blocker, "endpoint", None) if within else None
        rows.append((url_of(blocker), f"{endpoint} / {blocker}" if endpoint else str(blocker)))
    links = format_html_join(", ", '<a href="{}" class="alert-link">{}</a>', rows)
    return format_html("{} + {}", links, len(blockers) - LISTED) if len(blockers) > LISTED else links


def refuse(request: HttpRequest, error: ServiceError) -> None:
    """Show the reason on the next page."""
    messages.error(request, explain(error))
