"""The transition table and the compare-and-set that everything relies on."""

import threading

import pytest
from django import db

from models_registry.models import Model
from training import lifecycle
from training.algorithms.base import Message
from training.models import Dataset, Training

STATUSES = {status for status, _label in Training.Status.choices}


@pytest.fixture
def training(project) -> Training:
    return Training.objects.create(
        project=project, name="t", dataset_name="d", algorithm="image_classification", status="CREATE_REQUESTED"
    )


def test_a_move_writes_status_reason_fields_and_history_together(training, people):
    reason = Message("Stopped by %(user)s.", {"user": "editor"})
    assert lifecycle.move(training, "STOPPED", reason=reason, actor=people.editor, phase="")
    training.refresh_from_db()
    assert (training.status, training.status_reason) == ("STOPPED", reason.as_json())
    event = training.events().get()
    assert (event.from_status, event.to_status, event.actor) == ("CREATE_REQUESTED", "STOPPED", people.editor)
    assert event.reason == reason.as_json()


def test_who_comes_second_is_told_and_sees_what_it_is_now(training):
    stale = Training.objects.get(pk=training.pk)
    assert lifecycle.move(training, "CREATE_IN_PROGRESS")
    assert lifecycle.move(stale, "STOPPED") is False
    assert stale.status == "CREATE_IN_PROGRESS"
    assert [event.to_status for event in training.events()] == ["CREATE_IN_PROGRESS"]


@pytest.mark.django_db(transaction=True)
def test_of_many_who_move_at_once_one_wins(training):
    won = []
    together = threading.Barrier(4)

    def move() -> None:
        mine = Training.objects.get(pk=training.pk)
        together.wait()
        won.append(lifecycle.move(mine, "CREATE_IN_PROGRESS"))
        db.connections.close_all()

    threads = [threading.Thread(target=move) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(won) == [False, False, False, True]
    assert training.events().count() == 1


def test_a_step_that_the_table_does_not_have_is_refused(training):
    with pytest.raises(lifecycle.NotAllowed, match="CREATE_REQUESTED -> COMPLETE"):
        lifecycle.move(training, "COMPLETE")
    assert not training.events().exists()


@pytest.mark.parametrize("model", [Training, Dataset, Model])
def test_every_status_of_the_table_exists_and_can_be_reached(model):
    known = {status for status, _label in model.Status.choices}
    reached = set().union(*model.TRANSITIONS.values()) | {model._meta.get_field("status").default}
    assert reached == known
    assert model.TRANSITIONS.keys() <= known


def test_every_unfinished_training_can_end(training):
    """From each status that is on the way there is a path to every kind of end that a person could wait for."""

    def reachable(start: str) -> set[str]:
        found, todo = set(), [start]
        while todo:
            for following in Training.TRANSITIONS.get(todo.pop(), set()) - found:
                found.add(following)
                todo.append(following)
        return found

    for status in Training.UNFINISHED:
        assert {"COMPLETE", "STOPPED", "FAIL_TRAIN"} <= reachable(status)
    assert Training.TRANSITIONS.get("COMPLETE", set()) == set()
    assert set(Training.UNFINISHED) | set(Training.RESUMABLE) | {"COMPLETE"} == STATUSES
