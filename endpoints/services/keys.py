"""Keys of an endpoint: only their hash is stored, the key itself is returned once."""

from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from endpoints import routes
from endpoints.models import Endpoint, EndpointKey
from endpoints.services import checks
from training import lifecycle
from training.algorithms.base import Message, gettext_noop


@transaction.atomic
def key_create(*, endpoint: Endpoint, user: Any, name: str) -> tuple[EndpointKey, str]:
    """-> (the row, the key in plain text, which cannot be had again). Raises ValidationError for its name."""
    row = checks.lock(endpoint)
    name = name.strip()
    errors = checks.field_errors(EndpointKey(endpoint=row, name=name), "name")
    if row.keys.filter(name=name, revoked=False).exists():
        errors["name"] = [_("The endpoint has a key of that name already.")]
    checks.require(errors)
    key = EndpointKey(endpoint=row, name=name)
    plain = EndpointKey.objects.assign_key(key)
    key.save()
    lifecycle.record(row, "key_created", reason=Message(gettext_noop("Key %(key)s"), {"key": name}), actor=user)
    transaction.on_commit(routes.publish)
    return key, plain


@transaction.atomic
def key_revoke(*, key: EndpointKey, user: Any) -> None:
    """Refuse the key from now on. Revoking it twice is the same as once."""
    if EndpointKey.objects.filter(pk=key.pk, revoked=False).update(revoked=True):
        reason = Message(gettext_noop("Key %(key)s"), {"key": key.name})
        lifecycle.record(key.endpoint, "key_revoked", reason=reason, actor=user)
    key.revoked = True
    transaction.on_commit(routes.publish)
