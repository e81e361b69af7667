"""Keys: how long they are accepted, what takes their place, how often they may call."""

import json
import logging
from datetime import UTC, datetime, timedelta

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone

from endpoints import lookup, routes, services, statistics
from endpoints.lookup import Refused
from endpoints.models import Endpoint, EndpointKey
from training.errors import Conflict

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def endpoint(project, people, model) -> Endpoint:
    return services.endpoint_create(project=project, user=people.owner, name="signs", model=model)[0]


def published(endpoint: Endpoint) -> dict:
    return json.loads(routes.table_path().read_text())["endpoints"][endpoint.pk]


def accepted(endpoint: Endpoint, key: str) -> bool:
    """Whether the stage URL takes it, by the table that is published now."""
    try:
        lookup.check_key(published(endpoint), {b"x-api-key": key.encode()})
    except Refused as refused:
        if refused.status != 403:
            raise
        return False
    return True


def test_a_key_is_refused_once_its_last_moment_has_passed(endpoint, people):
    soon = timezone.now() + timedelta(hours=1)
    key, plain = services.key_create(endpoint=endpoint, user=people.owner, name="robot", expires_at=soon)
    assert accepted(endpoint, plain)
    assert published(endpoint)["keys"][key.prefix]["expires"] == pytest.approx(soon.timestamp())
    EndpointKey.objects.filter(pk=key.pk).update(expiry_date=timezone.now() - timedelta(seconds=1))
    routes.publish()
    assert not accepted(endpoint, plain)


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"expires_at": timezone.now() - timedelta(seconds=1)}, "expires_at"),
        ({"expires_at": datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)}, "expires_at"),
        ({"calls_per_minute": 0}, "calls_per_minute"),
        ({"calls_per_minute": 10**7}, "calls_per_minute"),
        ({"name": " "}, "name"),
    ],
)
def test_wrong_wishes_for_a_key_are_named(endpoint, people, more, field):
    with pytest.raises(ValidationError) as caught:
        services.key_create(endpoint=endpoint, user=people.owner, **{"name": "robot", **more})
    assert set(caught.value.message_dict) == {field}
    assert not endpoint.keys.filter(name="robot").exists()


def test_the_limit_of_a_key_is_published_when_it_is_set_and_when_it_changes(endpoint, people):
    key, _plain = services.key_create(endpoint=endpoint, user=people.owner, name="robot", calls_per_minute=60)
    assert published(endpoint)["keys"][key.prefix]["calls_per_minute"] == 60
    services.key_limit_set(key=key, user=people.owner, calls_per_minute=None)
    assert published(endpoint)["keys"][key.prefix]["calls_per_minute"] is None
    with pytest.raises(ValidationError):
        services.key_limit_set(key=key, user=people.owner, calls_per_minute=0)


def test_a_rotated_key_is_refused_at_once_and_its_successor_is_like_it(endpoint, people):
    key, old = services.key_create(endpoint=endpoint, user=people.owner, name="robot", calls_per_minute=60)
    new, plain = services.key_rotate(key=key, user=people.owner)
    assert (new.name, new.calls_per_minute, new.expiry_date) == ("robot", 60, None)
    assert (accepted(endpoint, plain), accepted(endpoint, old)) == (True, False)
    assert endpoint.events().first().to_status == "key_rotated"


def test_with_a_grace_both_keys_are_accepted_until_it_ends(endpoint, people):
    key, old = services.key_create(endpoint=endpoint, user=people.owner, name="robot")
    _new, plain = services.key_rotate(key=key, user=people.owner, grace=timedelta(days=7))
    assert (accepted(endpoint, plain), accepted(endpoint, old)) == (True, True)
    end = published(endpoint)["keys"][key.prefix]["expires"]
    assert end == pytest.approx((timezone.now() + timedelta(days=7)).timestamp(), abs=60)
    with pytest.raises(Conflict):  # else there would be three of the name
        services.key_rotate(key=key, user=people.owner)
    services.key_revoke(key=key, user=people.owner)
    assert (accepted(endpoint, plain), accepted(endpoint, old)) == (True, False)


def test_a_grace_does_not_lengthen_the_life_of_a_key_and_its_successor_lives_as_long_as_it(endpoint, people):
    soon = timezone.now() + timedelta(days=2)
    key, _plain = services.key_create(endpoint=endpoint, user=people.owner, name="robot", expires_at=soon)
    EndpointKey.objects.filter(pk=key.pk).update(created=timezone.now() - timedelta(days=28))  # made for 30 days
    new, _plain = services.key_rotate(key=key, user=people.owner, grace=timedelta(days=7))
    key.refresh_from_db()
    assert key.expiry_date == soon
    assert new.expiry_date - timezone.now() == pytest.approx(timedelta(days=30), abs=timedelta(minutes=1))


@pytest.mark.parametrize("grace", [timedelta(days=7, seconds=1), timedelta(seconds=-1)])
def test_a_grace_of_more_than_a_week_or_less_than_nothing_is_refused(endpoint, people, grace):
    key, plain = services.key_create(endpoint=endpoint, user=people.owner, name="robot")
    with pytest.raises(ValidationError):
        services.key_rotate(key=key, user=people.owner, grace=grace)
    assert accepted(endpoint, plain)


def test_a_revoked_or_expired_key_is_not_rotated_and_its_name_is_free_again(endpoint, people):
    for ending in ({"revoked": True}, {"expiry_date": timezone.now() - timedelta(days=1)}):
        key, _plain = services.key_create(endpoint=endpoint, user=people.owner, name="robot")
        EndpointKey.objects.filter(pk=key.pk).update(**ending)
        with pytest.raises(Conflict):
            services.key_rotate(key=key, user=people.owner)
    services.key_create(endpoint=endpoint, user=people.owner, name="robot")


def test_the_last_use_of_a_key_is_noted(endpoint, people):
    key, _plain = services.key_create(endpoint=endpoint, user=people.owner, name="robot")
    at = timezone.now()
    statistics.write([statistics.Call(endpoint.default_stage_id, at, "/inference", 200, 5, key_prefix=key.prefix)])
    key.refresh_from_db()
    assert key.last_used_at == at


def test_a_key_in_plain_text_is_nowhere(endpoint, people, home, caplog):
    caplog.set_level(logging.DEBUG)
    key, plain = services.key_create(endpoint=endpoint, user=people.owner, name="robot")
    _new, second = services.key_rotate(key=key, user=people.owner, grace=timedelta(days=1))
    rows = str([list(model.objects.values()) for model in (EndpointKey, type(endpoint.events().first()))])
    files = "".join(path.read_text(errors="replace") for path in home.rglob("*") if path.is_file())
    for secret in (plain.partition(".")[2], second.partition(".")[2]):
        assert secret not in rows + files + caplog.text
