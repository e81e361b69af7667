"""What every answer of the pages carries."""

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.shortcuts import resolve_url
from django.utils.deprecation import MiddlewareMixin

# Tabler and the charts set style attributes; scripts come from our own files only.
POLICY = (
    "default-src 'self'; img-src 'self' data: blob:; style-src 'self' 'unsafe-inline'; "
    "object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'self'"
)


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
