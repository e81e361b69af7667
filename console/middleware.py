"""What every answer of the pages carries."""

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import resolve_url

# Tabler and the charts set style attributes; scripts come from our own files only.
POLICY = (
    "default-src 'self'; img-src 'self' data: blob:; style-src 'self' 'unsafe-inline'; "
    "object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'self'"
)
Answer = Callable[[HttpRequest], HttpResponse]


def content_security_policy(get_response: Answer) -> Answer:
    """A response with `csp_exempt = True` (TensorBoard's pages) or a policy of its own is left alone."""

    def middleware(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        if not getattr(response, "csp_exempt", False):
            response.headers.setdefault("Content-Security-Policy", POLICY)
        return response

    return middleware


def login_in_full(get_response: Answer) -> Answer:
    """A fragment that would answer with the login page loads that page in full instead."""

    def middleware(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        login = resolve_url(settings.LOGIN_URL)
        redirects = isinstance(response, HttpResponseRedirect) and response.url.startswith(login)
        if redirects and request.headers.get("HX-Request"):
            return HttpResponse(status=204, headers={"HX-Redirect": login})
        return response

    return middleware


def last_project(get_response: Answer) -> Answer:
    """Remember the project whose page was shown: the person comes back to it after the next login."""

    def middleware(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        match = request.resolver_match
        project = match.kwargs.get("project") if match else None
        if project and response.status_code == 200 and request.session.get("project") != project:
            request.session["project"] = project
        return response

    return middleware
