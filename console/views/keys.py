"""The keys of an endpoint. What shows a new one is a page of its own right, never cached: it cannot be shown again."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils.translation import gettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from console.access import load
from console.answers import refuse
from console.forms.keys import KeyForm, LimitForm, Line, RotateForm
from console.views.endpoints import page, show_key
from endpoints import services
from endpoints.models import Endpoint, EndpointKey
from training.errors import ServiceError
from training.models import Role


@never_cache
@require_POST
def key_create(request: HttpRequest, project: str, pk: str) -> HttpResponse:
    """The answer is the page of the keys (?tab=keys) with the new one on top."""
    owner = load(request, Endpoint, pk, Role.EDITOR, project)
    form = KeyForm(request.POST)
    made = None
    if form.is_valid():
        made = form.call(services.key_create, endpoint=owner, user=request.user, **form.cleaned_data)
    if made:
        show_key(request, owner, made[1])
    return page(request, owner, KeyForm() if made else form)


@never_cache
@require_POST
def key_rotate(request: HttpRequest, project: str, pk: str, prefix: str) -> HttpResponse:
    """The answer is as that of key_create."""
    key = _key(request, project, pk, prefix)
    form = RotateForm(request.POST, key=key)
    if form.is_valid():
        made = form.call(services.key_rotate, key=key, user=request.user, **form.cleaned_data)
        if made:
            show_key(request, key.endpoint, made[1])
            return page(request, key.endpoint)
    return page(request, key.endpoint, wrong_key=Line(key, LimitForm(key=key), form))


@require_POST
def key_limit(request: HttpRequest, project: str, pk: str, prefix: str) -> HttpResponse:
    """A limit that is refused is shown again at its key (?tab=keys)."""
    key = _key(request, project, pk, prefix)
    form = LimitForm(request.POST, key=key)
    if form.is_valid():
        form.call(services.key_limit_set, key=key, user=request.user, **form.cleaned_data)
    if form.errors:
        return page(request, key.endpoint, wrong_key=Line(key, form, RotateForm(key=key)))
    messages.success(request, gettext("The limit of the key %(name)s is changed.") % {"name": key.name})
    return _back(key)


@require_POST
def key_revoke(request: HttpRequest, project: str, pk: str, prefix: str) -> HttpResponse:
    key = _key(request, project, pk, prefix)
    try:
        services.key_revoke(key=key, user=request.user)
    except ServiceError as error:
        refuse(request, error)
    return _back(key)


def _key(request: HttpRequest, project: str, pk: str, prefix: str) -> EndpointKey:
    owner = load(request, Endpoint, pk, Role.EDITOR, project)
    return get_object_or_404(EndpointKey.objects.select_related("endpoint"), endpoint=owner, prefix=prefix)


def _back(key: EndpointKey) -> HttpResponse:
    owner = key.endpoint
    return redirect(f"{reverse('endpoint', args=[owner.project_id, owner.pk])}?tab=keys")
