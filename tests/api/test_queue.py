"""Priority and place in the queue, over REST."""

from datetime import timedelta

import pytest
from django.utils import timezone

from training import heartbeats
from training.models import Training

URL = "/api/v1/trainings/"


@pytest.fixture
def editor(api, people, project):
    return api(people.editor)


@pytest.fixture
def queued(editor, dataset, home):
    """queued("b", priority="high") -> its id"""

    def make(name: str, **fields) -> str:
        answer = editor.post(URL, {"name": name, "dataset": dataset.pk, **fields}, format="json")
        assert answer.status_code == 201, answer.json()
        return answer.json()["id"]

    return make


def queue_of(client, pk) -> dict:
    return client.get(f"{URL}{pk}/").json()["queue"]


def test_priority_is_a_word_and_orders_the_queue(editor, queued):
    first, second, third = queued("a"), queued("b", priority="high"), queued("c", priority="low")
    assert [queue_of(editor, pk)["position"] for pk in (first, second, third)] == [2, 1, 3]
    rows = editor.get(f"{URL}?ordering=name").json()["results"]
    assert [row["priority"] for row in rows] == ["normal", "high", "low"]


def test_the_priority_changes_while_it_is_queued(editor, queued, api, people):
    first, second = queued("a"), queued("b")
    answer = editor.patch(f"{URL}{second}/", {"priority": "high"}, format="json")
    assert (answer.status_code, answer.json()["priority"], answer.json()["queue"]["position"]) == (200, "high", 1)
    assert queue_of(editor, first)["position"] == 2
    events = editor.get(f"{URL}{second}/events/").json()["results"]
    assert events[0]["reason"] == "editor changed the priority from Normal to High."
    assert api(people.viewer).patch(f"{URL}{first}/", {"priority": "high"}, format="json").status_code == 403
    assert api(people.outsider).patch(f"{URL}{first}/", {"priority": "high"}, format="json").status_code == 404


@pytest.mark.parametrize("body", [{"priority": "urgent"}, {"priority": 1}, {}])
def test_a_wrong_priority_is_named(editor, queued, body):
    answer = editor.patch(f"{URL}{queued('a')}/", body, format="json")
    assert answer.status_code == 400
    assert list(answer.json()["error"]["fields"]) == ["priority"]


def test_one_that_has_begun_has_no_place_and_no_other_priority(editor, queued):
    pk = queued("a")
    Training.objects.update(status="RUNNING")
    assert queue_of(editor, pk) is None
    assert editor.patch(f"{URL}{pk}/", {"priority": "high"}, format="json").status_code == 409


def test_the_expected_start_is_a_moment_or_null(editor, queued, training):
    Training.objects.filter(pk=training.pk).update(status="RUNNING", eta_seconds=600)
    pk = queued("a")
    assert queue_of(editor, pk) == {"position": 1, "expected_start": None}  # no trainer worker lives
    heartbeats.beat("training", 1)
    expected = timezone.datetime.fromisoformat(queue_of(editor, pk)["expected_start"])
    assert abs(expected - timezone.now() - timedelta(seconds=600)) < timedelta(seconds=60)
