"""A person's own API tokens. Only their hash is stored: each is shown once, when it is made."""

from datetime import timedelta

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST
from knox.models import AuthToken

from console.access import person
from console.forms.projects import TokenForm


@never_cache
def tokens(request: HttpRequest) -> HttpResponse:
    form, token = TokenForm(request.POST or None), ""
    if request.method == "POST" and form.is_valid():
        days = form.cleaned_data["days"]
        _row, token = AuthToken.objects.create(person(request), expiry=timedelta(days=days) if days else None)
    rows = AuthToken.objects.filter(user=person(request)).order_by("-created")
    return render(request, "account/tokens.html", {"tokens": rows, "token": token, "form": form})


@require_POST
def token_revoke(request: HttpRequest, digest: str) -> HttpResponse:
    get_object_or_404(AuthToken, digest=digest, user=person(request)).delete()
    messages.success(request, gettext("The token was revoked."))
    return redirect("tokens")
