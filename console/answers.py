"""How a service's refusal looks on a page."""

from django.contrib import messages
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from console.links import url_of
from console.templatetags.console import message
from training.errors import Conflict, ServiceError


def explain(error: ServiceError) -> SafeString:
    """The reason in the reader's language, with a link to each object in the way."""
    text = message(error.message.as_json())
    blockers = error.blockers if isinstance(error, Conflict) else []
    if not blockers:
        return format_html("{}", text)
    links = format_html_join(", ", '<a href="{}" class="alert-link">{}</a>', ((url_of(b), str(b)) for b in blockers))
    return format_html("{} {}", text, links)


def refuse(request: HttpRequest, error: ServiceError) -> None:
    """Show the reason on the next page."""
    messages.error(request, explain(error))
