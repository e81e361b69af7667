"""What every answer of the pages carries."""

import logging

from django.conf import settings
from django.contrib.sessions.exceptions import SessionInterrupted
from django.contrib.sessions.middleware import SessionMiddleware
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.shortcuts import render, resolve_url
from django.utils.deprecation import MiddlewareMixin

from training import disk

logger = logging.getLogger(__name__)

# Tabler and the charts set style attributes; scripts come from our own files only.
POLICY = (
    "default-src 'self'; img-src 'self' data: blob:; style-src 'self' 'unsafe-inline'; "
    "object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'self'"
)


class Sessions(SessionMiddleware):
    """Django's, but a session that a full disk does not take costs no answer: what was asked for is done by then."""

    def process_response(self, request: HttpRequest, response: HttpResponse) -> HttpResponse:
        try:
            return super().process_response(request, response)
        except SessionInterrupted as error:
            if disk.reason(error) is None:  # someone logged out meanwhile
                raise
            logger.warning("the session was not saved: %s", error.__context__)
            return response


class NotAllowedMiddleware(MiddlewareMixin):
    """A page for a person who opens what only a button asks for: after a login, for instance, that came in between.

    The last of all, so that its page gets what the others do to one.
    """

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        for_person = request.accepts("text/html") and not request.path.startswith("/api/")
        if response.status_code != 405 or not for_person:
            return response
        page = render(request, "405.html", status=405)
        page.headers["Allow"] = response.headers["Allow"]
        return page


class PagesMiddleware(MiddlewareMixin):
    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        set_policy(response)
        remember_project(request, response)
        return login_in_full(request, response)


def set_policy(response: HttpResponseBase) -> None:
    """A response with `csp_exempt = True` (TensorBoard's pages) or a policy of its own is left alone."""
    if not getattr(response, "csp_exempt", False):
        response.headers.setdefault("Content-Security-Policy", POLICY)


def remember_project(request: HttpRequest, response: HttpResponseBase) -> None:
    """The person comes back to the project whose page was shown last."""
    match = request.resolver_match
    project = match.kwargs.get("project") if match else None
    if project and response.status_code == 200 and request.session.get("project") != project:
        request.session["project"] = project


def login_in_full(request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
    """A fragment that would answer with the login page loads that page in full instead."""
    login = resolve_url(settings.LOGIN_URL)
    redirects = isinstance(response, HttpResponseRedirect) and response.url.startswith(login)
    if redirects and request.headers.get("HX-Request"):
        return HttpResponse(status=204, headers={"HX-Redirect": login})
    return response
