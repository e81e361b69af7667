"""The traffic tab of an endpoint."""

import pytest
from django.urls import reverse

from endpoints.models import Endpoint, Rollout, Stage
from endpoints.services.rollouts import rollout_count
from tests.console import served

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def canary(endpoint, model) -> Stage:
    return served.stage(endpoint, model, "canary")


def address(name: str, endpoint: Endpoint, *more: str) -> str:
    return reverse(name, args=[endpoint.project_id, endpoint.pk, *more])


def tab(client, endpoint: Endpoint) -> str:
    return client.get(address("endpoint", endpoint), {"tab": "traffic"}).content.decode()


VALUES = {"mode": "canary", "share": "25", "automatic": "on", "min_calls": "50", "max_error_percent": "2.5"}


@pytest.fixture
def rollout(editor, endpoint, canary) -> Rollout:
    answer = editor.post(address("rollout_start", endpoint), VALUES | {"stage": canary.pk, "max_p95_ms": "300"})
    assert answer.url == address("endpoint", endpoint) + "?tab=traffic"
    return Rollout.objects.get()


def test_without_a_second_stage_there_is_nothing_to_try(editor, endpoint):
    assert "add a second stage" in tab(editor, endpoint)


def test_rollout_is_started_from_the_form(editor, endpoint, canary, rollout, people):
    assert (rollout.stage, rollout.mode, rollout.share, rollout.created_by) == (canary, "canary", 25, people.editor)
    assert (rollout.automatic, rollout.min_calls, rollout.max_error_percent, rollout.max_p95_ms) == (True, 50, 2.5, 300)
    page = tab(editor, endpoint)
    assert "It answers 25 % of the calls" in page
    assert "at most 2.5 % of them fail and the p95 is at most 300 ms" in page
    assert f'hx-get="{address("rollout", endpoint, rollout.pk)}"' in page
    assert 'class="rollout-form"' not in page


def test_wrong_value_is_refused_beside_its_field(editor, endpoint, canary):
    values = VALUES | {"stage": canary.pk, "share": "101"}
    page = editor.post(address("rollout_start", endpoint) + "?tab=traffic", values).content.decode()
    assert 'id="id_share_error"' in page
    assert not Rollout.objects.exists()


def test_figures_stand_side_by_side(editor, endpoint, rollout):
    sides = {
        "default": {"calls": 300, "errors": 0, "latencies": {"10": 300}},
        "candidate": {"calls": 40, "errors": 1, "latencies": {"20": 39}},
    }
    rollout_count({rollout.pk: sides})
    fragment = editor.get(address("rollout", endpoint, rollout.pk))
    text = fragment.content.decode()
    assert "HX-Refresh" not in fragment.headers
    assert "1 (2.5 %)" in text
    assert 'aria-valuenow="40"' in text
    assert "40 / 50" in text
    rollout_count({rollout.pk: {"candidate": {"calls": 10, "errors": 0, "latencies": {"20": 10}}}})
    assert editor.get(address("rollout", endpoint, rollout.pk)).headers["HX-Refresh"] == "true", "it was decided"
    page = tab(editor, endpoint)
    assert "1 of 50 calls failed, and the p95 was" in page
    assert "PROMOTED" in page


@pytest.mark.parametrize(
    ("call", "status", "default"),
    [
        ("rollout_promote", "PROMOTED", "canary"),
        ("rollout_roll_back", "ROLLED_BACK", "default"),
        ("rollout_end", "ENDED", "default"),
    ],
)
def test_buttons_end_it(editor, endpoint, rollout, call, status, default):
    assert f'action="{address(call, endpoint, rollout.pk)}"' in tab(editor, endpoint)
    editor.post(address(call, endpoint, rollout.pk))
    rollout.refresh_from_db()
    endpoint.refresh_from_db()
    assert (rollout.status, endpoint.default_stage.name) == (status, default)
    again = editor.post(address(call, endpoint, rollout.pk), follow=True).content.decode()
    assert "has ended already" in again
    events = editor.get(address("endpoint", endpoint), {"tab": "events"}).content.decode()
    assert "canary answers 25 % of the calls." in events


def test_viewer_sees_it_without_buttons(viewer, endpoint, rollout):
    page = tab(viewer, endpoint)
    assert "It answers 25 % of the calls" in page
    assert "/promote/" not in page


def test_shadow_shows_what_agrees_and_what_was_dropped(editor, endpoint, canary):
    values = {key: text for key, text in VALUES.items() if key != "automatic"} | {"mode": "shadow", "stage": canary.pk}
    editor.post(address("rollout_start", endpoint), values)
    assert "Nothing was compared yet." in tab(editor, endpoint)
    rollout_count({Rollout.objects.get().pk: {"compared": 8, "agreed": 7, "dropped": 1}})
    page = tab(editor, endpoint)
    assert "<strong>87.5 %</strong> of the answers agree (7 of 8)." in page
    assert "1 copy was dropped" in page
