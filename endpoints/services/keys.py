"""Keys of an endpoint: only their hash is stored, the key itself is returned once."""

from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from endpoints import routes
from endpoints.models import Endpoint, EndpointKey
from endpoints.services import checks
from training import lifecycle
from training.algorithms.base import Message, gettext_noop
from training.errors import Conflict

LONGEST_GRACE = timedelta(days=7)  # for the programs that still send a key which was rotated
MOST_CALLS = 1_000_000  # a minute
LONGEST_LIFE = timedelta(days=36_525)  # a hundred years: a rotated key lives as long again, and years end at 9999


@transaction.atomic
def key_create(
    *,
    endpoint: Endpoint,
    user: Any,
    name: str,
    expires_at: datetime | None = None,
    calls_per_minute: int | None = None,
) -> tuple[EndpointKey, str]:
    """-> (the row, the key in plain text, which cannot be had again).

    None: it does not expire, any number of calls. Raises ValidationError for each wrong field.
    """
    row = checks.lock(endpoint)
    name = name.strip()
    errors = checks.field_errors(EndpointKey(endpoint=row, name=name), "name") | _limit_errors(calls_per_minute)
    if _living(row).filter(name=name).exists():
        errors["name"] = [_("The endpoint has a key of that name already.")]
    errors |= _end_errors(expires_at)
    checks.require(errors)
    key, plain = _made(row, name, expires_at, calls_per_minute)
    _noted(key, "key_created", user)
    return key, plain


def _living(endpoint: Endpoint) -> QuerySet[EndpointKey]:
    """The keys that are accepted."""
    unexpired = Q(expiry_date=None) | Q(expiry_date__gt=timezone.now())
    return EndpointKey.objects.filter(unexpired, endpoint=endpoint, revoked=False)


def _end_errors(expires_at: datetime | None) -> checks.Errors:
    now = timezone.now()
    if expires_at is None or now < expires_at <= now + LONGEST_LIFE:
        return {}
    if expires_at <= now:
        return {"expires_at": [_("Choose a time in the future.")]}
    return {"expires_at": [_("Choose a time within the next 100 years, or none.")]}


def _limit_errors(calls_per_minute: int | None) -> checks.Errors:
    if calls_per_minute is None or 1 <= calls_per_minute <= MOST_CALLS:
        return {}
    return {"calls_per_minute": [_("Choose a number from 1 to %(most)s, or none.") % {"most": MOST_CALLS}]}


def _made(endpoint: Endpoint, name: str, expires_at: datetime | None, limit: int | None) -> tuple[EndpointKey, str]:
    key = EndpointKey(endpoint=endpoint, name=name, expiry_date=expires_at, calls_per_minute=limit)
    plain = EndpointKey.objects.assign_key(key)
    key.save()
    return key, plain


def _noted(key: EndpointKey, what: str, user: Any) -> None:
    """The event, and the route table when the change is committed."""
    reason = Message(gettext_noop("Key %(key)s"), {"key": key.name})
    lifecycle.record(key.endpoint, what, reason=reason, actor=user)
    transaction.on_commit(routes.publish)


@transaction.atomic
def key_rotate(*, key: EndpointKey, user: Any, grace: timedelta = timedelta(0)) -> tuple[EndpointKey, str]:
    """Make a new key in the place of `key`: of the same name and limit, and valid for as long as that one was made for.

    The old one is refused at once, or after `grace`, at most LONGEST_GRACE. -> (the new row, the key in plain text).
    Raises Conflict for a key that is no longer accepted or has been rotated already, ValidationError for the grace.
    """
    endpoint = checks.lock(key.endpoint)
    if not timedelta(0) <= grace <= LONGEST_GRACE:
        checks.require({"grace": [_("The old key can stay valid for up to 7 days.")]})
    old, now = _living(endpoint).filter(pk=key.pk).first(), timezone.now()
    if old is None:
        raise Conflict(Message(gettext_noop("The key %(key)s is no longer valid: make a new one."), {"key": key.name}))
    if _living(endpoint).filter(name=old.name, created__gt=old.created).exists():
        raise Conflict(Message(gettext_noop("The key %(key)s has been rotated already."), {"key": key.name}))
    expires_at = now + (old.expiry_date - old.created) if old.expiry_date else None
    new, plain = _made(endpoint, old.name, expires_at, old.calls_per_minute)
    if grace:
        end = now + grace
        old.expiry_date = min(old.expiry_date, end) if old.expiry_date else end
    old.revoked = not grace
    old.save(update_fields=["expiry_date", "revoked"])
    key.expiry_date, key.revoked = old.expiry_date, old.revoked
    _noted(new, "key_rotated", user)
    return new, plain


@transaction.atomic
def key_limit_set(*, key: EndpointKey, user: Any, calls_per_minute: int | None) -> None:
    """How many calls a minute the key may make; None: any number. Raises ValidationError."""
    checks.require(_limit_errors(calls_per_minute))
    checks.lock(key.endpoint)
    if EndpointKey.objects.filter(pk=key.pk).update(calls_per_minute=calls_per_minute):
        key.calls_per_minute = calls_per_minute
        _noted(key, "key_limit_set", user)


@transaction.atomic
def key_revoke(*, key: EndpointKey, user: Any) -> None:
    """Refuse the key from now on. Revoking it twice is the same as once."""
    if EndpointKey.objects.filter(pk=key.pk, revoked=False).update(revoked=True):
        _noted(key, "key_revoked", user)
    key.revoked = True
