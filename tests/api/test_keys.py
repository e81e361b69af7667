"""Keys over the REST API: made, limited, rotated, revoked; by whom, and what of them is told."""

from datetime import datetime, timedelta

import pytest
from django.utils import timezone

from endpoints.models import EndpointKey


@pytest.fixture
def editor(api, people, project, home):
    return api(people.editor)


def made(client, endpoint, **body) -> dict:
    answer = client.post(f"/api/v1/endpoints/{endpoint.pk}/keys/", {"name": "robot", **body}, format="json")
    assert answer.status_code == 201, answer.content
    return answer.json()


def address(key: dict, more: str = "") -> str:
    return f"/api/v1/keys/{key['id']}/{more}"


def test_a_key_is_made_with_an_end_and_a_limit_which_is_changed_later(editor, endpoint):
    key = made(editor, endpoint, expires_at="2099-01-01T00:00:00Z", calls_per_minute=60)
    assert (key["expires_at"], key["calls_per_minute"]) == ("2099-01-01T00:00:00Z", 60)
    changed = editor.patch(address(key), {"calls_per_minute": None}, format="json")
    assert (changed.status_code, changed.json()["calls_per_minute"]) == (200, None)
    assert "key" not in changed.json()
    refused = editor.patch(address(key), {"calls_per_minute": 0}, format="json")
    assert (refused.status_code, list(refused.json()["error"]["fields"])) == (400, ["calls_per_minute"])


def test_wrong_ends_and_limits_are_named(editor, endpoint):
    body = {"name": "robot", "expires_at": "2020-01-01T00:00:00Z", "calls_per_minute": 0}
    answer = editor.post(f"/api/v1/endpoints/{endpoint.pk}/keys/", body, format="json")
    assert (answer.status_code, set(answer.json()["error"]["fields"])) == (400, {"expires_at", "calls_per_minute"})


def test_rotating_gives_a_new_key_once_and_refuses_the_old_one(editor, endpoint):
    old = made(editor, endpoint, calls_per_minute=60)
    answer = editor.post(address(old, "rotate/"))
    new = answer.json()
    assert answer.status_code == 201
    assert (new["name"], new["calls_per_minute"], new["id"] == old["id"]) == ("robot", 60, False)
    assert (EndpointKey.objects.is_valid(new["key"]), EndpointKey.objects.is_valid(old["key"])) == (True, False)
    assert editor.get(address(old)).json()["revoked"]
    assert "key" not in editor.get(address(new)).json()


def test_the_old_key_may_stay_valid_for_a_while(editor, endpoint):
    old = made(editor, endpoint)
    new = editor.post(address(old, "rotate/"), {"grace_seconds": 3600}, format="json").json()
    assert EndpointKey.objects.is_valid(new["key"])
    assert EndpointKey.objects.is_valid(old["key"])
    end = datetime.fromisoformat(editor.get(address(old)).json()["expires_at"])
    assert abs(end - timezone.now() - timedelta(hours=1)) < timedelta(minutes=1)
    assert editor.post(address(old, "rotate/")).status_code == 409


@pytest.mark.parametrize("seconds", [-1, 7 * 86400 + 1, "soon"])
def test_a_grace_that_is_none_is_refused(editor, endpoint, seconds):
    key = made(editor, endpoint)
    answer = editor.post(address(key, "rotate/"), {"grace_seconds": seconds}, format="json")
    assert (answer.status_code, list(answer.json()["error"]["fields"])) == (400, ["grace_seconds"])
    assert EndpointKey.objects.is_valid(key["key"])


def test_a_key_is_revoked_by_its_own_address(editor, endpoint):
    key = made(editor, endpoint)
    assert editor.delete(address(key)).status_code == 204
    assert not EndpointKey.objects.is_valid(key["key"])
    assert editor.post(address(key, "rotate/")).status_code == 409


def test_a_viewer_sees_keys_and_changes_none_and_an_outsider_sees_none(editor, api, people, endpoint):
    key = made(editor, endpoint)
    viewer, outsider = api(people.viewer), api(people.outsider)
    assert viewer.get(address(key)).json()["name"] == "robot"
    for client, status in ((viewer, 403), (outsider, 404)):
        assert client.patch(address(key), {"calls_per_minute": 1}, format="json").status_code == status
        assert client.post(address(key, "rotate/")).status_code == status
        assert client.delete(address(key)).status_code == status
    assert outsider.get(address(key)).status_code == 404
    assert EndpointKey.objects.is_valid(key["key"])
    assert editor.get("/api/v1/keys/nothing/").status_code == 404
