"""Several hosts of which some have a GPU: who takes a training that asks for one. (No GPU is needed for it.)"""

from datetime import timedelta

import pytest
from django.utils import timezone
from django_q.models import OrmQ

from tests.training.conftest import reason
from training import forecast, heartbeats, lease, queue, reconcile, tasks
from training.models import Training

HERE, THERE = "here", "there"


@pytest.fixture(autouse=True)
def here(settings, home, monkeypatch):
    """This host has no GPU."""
    settings.HOST_NAME = HERE
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")


@pytest.fixture
def beat(settings):
    """beat(host, gpus): the host's trainer worker, with one slot, gives a sign of life."""

    def sign(host: str, gpus: int) -> None:
        settings.HOST_NAME = host
        heartbeats.beat("training", 1, gpus)
        settings.HOST_NAME = HERE

    return sign


@pytest.fixture
def make(db, project):
    """make("cuda"): a queued training. Its dataset is gone, so that whoever takes it ends it at once."""

    def queued(device: str, status: str = "CREATE_REQUESTED", **fields) -> Training:
        return Training.objects.create(
            project=project, name=f"t{Training.objects.count()}", dataset_name="gone", device=device, status=status,
            algorithm="image_classification", hyperparameters={}, **fields,
        )  # fmt: skip

    return queued


def leased(host: str, seconds: int = 60) -> dict:
    until = timezone.now() + timedelta(seconds=seconds)
    return {"lease_owner": f"{host}:1:1.0:abcd", "lease_until": until}


def taken(training: Training) -> bool:
    training.refresh_from_db()
    return training.status != "CREATE_REQUESTED"


def woken() -> list[str]:
    return [task.args()[0] for task in OrmQ.objects.filter(key="training").order_by("pk")]


def test_a_host_without_a_gpu_leaves_it_to_one_that_has_one_and_takes_what_comes_after(make, beat):
    beat(HERE, 0)
    beat(THERE, 2)
    first, second, third = make("cuda"), make("auto"), make("cpu")
    assert tasks.training_run(first.pk) == second.pk
    assert tasks.training_run(first.pk) == third.pk
    assert tasks.training_run(first.pk) == ""
    assert not taken(first)
    assert first.lease_owner == ""


def test_a_host_with_a_gpu_takes_it(make, beat, monkeypatch):
    beat(HERE, 1)
    beat(THERE, 1)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    training = make("cuda")
    assert tasks.training_run(training.pk) == training.pk
    assert taken(training)


@pytest.mark.parametrize("gpus", [0, None])
def test_without_a_living_host_that_has_one_it_fails_at_once_with_the_reason(make_training, beat, gpus):
    beat(HERE, 0)
    if gpus is not None:
        beat(THERE, gpus)
    training = make_training(num_train_epochs=1)
    Training.objects.filter(pk=training.pk).update(device="cuda")
    assert tasks.training_run(training.pk) == training.pk
    training.refresh_from_db()
    assert training.status == "CREATE_FAILED"
    assert "no GPU" in reason(training)


def test_what_a_dead_runner_left_is_left_to_a_host_with_a_gpu_unless_it_is_to_be_stopped(make, beat):
    beat(THERE, 1)
    running = make("cuda", "RUNNING", step=5, **leased("gone", -1))
    stopped = make("cuda", "STOP_IN_PROGRESS", step=5, **leased("gone", -1))
    assert tasks.training_run(running.pk) == stopped.pk
    assert tasks.training_run(running.pk) == ""
    running.refresh_from_db()
    stopped.refresh_from_db()
    assert (running.status, stopped.status) == ("RUNNING", "STOPPED")


def test_a_task_that_reached_the_wrong_host_is_passed_on_while_the_right_one_has_a_free_slot(make, beat, monkeypatch):
    monkeypatch.setattr(queue, "PASS_SECONDS", 0)
    beat(HERE, 0)
    beat(THERE, 1)
    training = make("cuda")
    assert tasks.training_run(training.pk) == ""
    assert woken() == [training.pk]
    OrmQ.objects.all().delete()
    make("cuda", "RUNNING", **leased(THERE))
    assert tasks.training_run(training.pk) == ""
    assert woken() == []  # it wakes itself when its slot is free: until then nothing goes round in circles


def test_the_host_with_a_gpu_wakes_itself_when_its_slot_is_free(make, beat, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    beat(HERE, 1)
    first, second = make("cuda"), make("cuda")
    assert tasks.training_run(first.pk) == first.pk
    assert woken() == [second.pk]


def test_the_minutes_reconcile_wakes_a_host_with_a_gpu_from_one_without(make, beat):
    beat(THERE, 1)
    training = make("cuda")
    reconcile.wake_slots()
    assert woken() == [training.pk]


def test_a_heartbeat_says_how_many_slots_and_gpus_a_host_has(settings, beat):
    beat(HERE, 0)
    beat(THERE, 4)
    assert sorted(heartbeats.hosts("training")) == [(HERE, 1, 0), (THERE, 1, 4)]
    assert (heartbeats.slots("training"), heartbeats.gpus("training")) == (2, 4)
    heartbeats.path("training").write_text("3")  # one of a console that knew nothing of GPUs
    assert sorted(heartbeats.hosts("training"))[0] == (lease.host_name(), 3, 0)


def test_the_forecast_has_it_wait_for_a_host_with_a_gpu(make, beat):
    """The one without is idle; what needs no GPU begins there at once, whatever comes before it."""
    beat(HERE, 0)
    beat(THERE, 1)
    running = make("cuda", "RUNNING", eta_seconds=300, host=THERE)
    for_gpu, for_any = make("cuda"), make("auto")
    places, now = forecast.places(), timezone.now()
    assert [places[row.pk].position for row in (for_gpu, for_any)] == [1, 2]
    assert 4 < (places[for_gpu.pk].expected_start - now).total_seconds() / 60 < 6
    assert places[for_any.pk].soon
    Training.objects.filter(pk=running.pk).update(status="COMPLETE")
    assert forecast.places()[for_gpu.pk].soon
