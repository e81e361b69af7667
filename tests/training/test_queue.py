"""The order of the queue, and when its trainings are expected to begin."""

from datetime import timedelta

import pytest
from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.utils import timezone

from training import forecast, heartbeats, queue, services
from training.errors import Conflict
from training.models import Dataset, Training

MINUTE = 60


@pytest.fixture
def alice(db):
    return get_user_model().objects.create_user("alice")


@pytest.fixture
def make(home, project):
    """make(minutes=5): a queued training of that age. `images`: of its dataset."""

    def make(status="CREATE_REQUESTED", minutes=0, images=100, epochs=2, **fields) -> Training:
        name = f"t{Training.objects.count()}"
        data = Dataset.objects.create(project=project, name=name, algorithm="image_classification", status="READY")
        Dataset.objects.filter(pk=data.pk).update(images={"train": images} if images else {})
        row = Training.objects.create(
            project=project, name=name, dataset=data, dataset_name=name, algorithm=data.algorithm, status=status,
            hyperparameters={"input_size": 28, "num_train_epochs": epochs}, **fields,
        )  # fmt: skip
        Training.objects.filter(pk=row.pk).update(created_at=timezone.now() - timedelta(minutes=minutes))
        row.refresh_from_db()
        return row

    return make


@pytest.fixture
def one_slot(home):
    heartbeats.beat("training", 1)


def names(rows) -> list[str]:
    return [row.name for row in rows]


def minutes_until(moment) -> float:
    return round((moment - timezone.now()).total_seconds() / 60, 1)


def starts(*trainings) -> list[float]:
    places = forecast.places()
    return [minutes_until(places[training.pk].expected_start) for training in trainings]


def test_a_higher_priority_comes_first_then_the_older(make):
    young, old = make(minutes=1), make(minutes=9)
    low, urgent = make(minutes=20, priority=-1), make(priority=1)
    order = [urgent, old, young, low]
    assert names(queue.waiting()) == names(order)
    assert [services.training_position(training) for training in order] == [1, 2, 3, 4]
    assert [forecast.places()[training.pk].position for training in order] == [1, 2, 3, 4]


def test_what_a_dead_runner_left_comes_before_any_priority(make):
    make(priority=1)
    left = make("RUNNING", priority=-1)
    assert next(queue.candidates()) == left


def test_two_of_the_same_moment_have_different_places(make):
    pair = [make(), make()]
    Training.objects.update(created_at=timezone.now())
    for training in pair:
        training.refresh_from_db()
    assert sorted(services.training_position(training) for training in pair) == [1, 2]


def test_the_priority_of_a_queued_training_can_be_changed_and_the_history_says_by_whom(make, alice):
    first, second = make(minutes=2), make()
    services.training_set_priority(training=second, user=alice, priority=1)
    assert names(queue.waiting()) == [second.name, first.name]
    event = second.events().first()
    assert (event.to_status, event.actor) == ("priority", alice)
    assert event.reason["params"]["new"]["text"] == "High"
    services.training_set_priority(training=second, user=alice, priority=1)  # as it is: nothing happened
    assert second.events().count() == 1


@pytest.mark.parametrize("priority", [2, -2, True, "1", 0.5, None])
def test_a_priority_that_there_is_not_is_refused(make, alice, priority):
    with pytest.raises(ValidationError) as caught:
        services.training_set_priority(training=make(), user=alice, priority=priority)
    assert set(caught.value.message_dict) == {"priority"}


def test_the_priority_of_one_that_has_begun_stays(make, alice):
    training = make()
    Training.objects.update(status="RUNNING")  # the page still thinks it is queued
    with pytest.raises(Conflict, match="no longer in the queue"):
        services.training_set_priority(training=training, user=alice, priority=1)


def test_with_a_free_slot_the_next_one_begins_now_and_nothing_is_known_of_the_one_after(make, one_slot):
    first, second = make(minutes=1), make()
    places = forecast.places()
    assert places[first.pk].soon
    assert places[second.pk].expected_start is None
    assert services.training_expected_start(first) is not None


def test_the_time_left_of_what_runs_and_what_similar_ones_took_add_up(make, one_slot):
    make("COMPLETE", images=100, run_seconds=10 * MINUTE)
    make("RUNNING", eta_seconds=5 * MINUTE)
    first, second, third = make(minutes=3), make(minutes=2, images=200), make(minutes=1)
    assert starts(first, second, third) == [5, 15, 35]  # 5 left; then 10, and 20 for twice the images


def test_every_living_host_has_slots_and_a_dead_one_has_none(make, settings, one_slot):
    make("COMPLETE", run_seconds=10 * MINUTE)
    make("RUNNING", eta_seconds=5 * MINUTE)
    first, second = make(minutes=2), make(minutes=1)
    settings.HOST_NAME = "another"
    heartbeats.beat("training", 2)
    assert starts(first, second) == [0, 0]
    heartbeats.forget_own()
    assert starts(first, second) == [5, 15]


def test_without_a_trainer_worker_or_history_it_is_not_known(make):
    training = make()
    assert forecast.places()[training.pk].expected_start is None
    heartbeats.beat("training", 1)
    make("RUNNING")  # nothing is known of it
    assert forecast.places()[training.pk].expected_start is None
    assert services.training_expected_start(make("COMPLETE")) is None


def test_one_that_was_resumed_counts_only_what_is_left_of_it(make, one_slot):
    make("COMPLETE", run_seconds=10 * MINUTE)
    half, after = make(minutes=5, step=50, total_steps=100), make()
    assert starts(half, after) == [0, 5]


def test_the_nearest_in_size_and_the_maximum_time_bound_the_forecast(make, one_slot):
    for images, seconds in ((100, 60), (100_000, 60_000)):
        make("COMPLETE", images=images, run_seconds=seconds)
    long, after = make(minutes=5, images=100_000, timeout_minutes=30), make()
    assert starts(long, after) == [0, 30]


def test_hyperparameters_without_an_upper_limit_do_not_break_the_forecast(make, one_slot):
    make("COMPLETE", run_seconds=10 * MINUTE)
    make("RUNNING", eta_seconds=1e18, timeout_minutes=60)
    huge, after = make(minutes=5, epochs=10**200, timeout_minutes=30), make()
    Training.objects.filter(pk=huge.pk).update(hyperparameters={"input_size": 10**200, "num_train_epochs": 10**200})
    assert starts(huge, after) == [60, 90]
