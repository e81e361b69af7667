"""What was interrupted goes on, what was left over goes: the minute's reconcile and the worker's start."""

from datetime import timedelta

import pytest
from django.db import transaction
from django.utils import timezone
from django_q.models import OrmQ, Schedule

from training import lease, queue, reconcile, tasks
from training.models import Training


@pytest.fixture
def make(db, home, project):
    def make(status: str = "CREATE_REQUESTED", age: int = 0, **fields) -> Training:
        training = Training.objects.create(
            project=project,
            name=f"t{Training.objects.count()}",
            dataset_name="d",
            algorithm="image_classification",
            status=status,
            **fields,
        )
        Training.objects.filter(pk=training.pk).update(created_at=timezone.now() - timedelta(hours=age))
        return training

    return make


def queued() -> list[str]:
    return [task.args()[0] for task in OrmQ.objects.filter(key="training").order_by("pk")]


def elsewhere(seconds: int) -> dict:
    """The lease of a runner on another host, so many seconds before its end."""
    until = timezone.now() + timedelta(seconds=seconds)
    return {"lease_owner": "other-host:1:1.0:abcd", "lease_until": until}


def test_a_training_whose_task_was_lost_is_queued_again_oldest_first(make):
    young, old = make(), make(age=2)
    reconcile.run()
    assert queued() == [old.pk, young.pk]
    reconcile.run()
    assert queued() == [old.pk, young.pk]  # not again while tasks wait


@pytest.mark.parametrize("status", ["CREATE_IN_PROGRESS", "RUNNING", "STOP_IN_PROGRESS", "COMPLETE_IN_PROGRESS"])
def test_a_training_whose_runner_is_gone_comes_before_all_that_wait(make, status):
    make(age=5)
    abandoned = make(status, **elsewhere(-1))
    make("RUNNING", **elsewhere(20))  # this one's runner lives
    reconcile.run()
    assert queued()[0] == abandoned.pk
    assert len(queued()) == 2


@pytest.mark.parametrize("status", ["STOPPED", "COMPLETE", "FAIL_TRAIN", "CREATE_FAILED"])
def test_what_has_ended_stays_ended(make, status):
    make(status)
    reconcile.run()
    assert queued() == []


def test_a_new_worker_forgets_the_tasks_that_its_predecessor_had_fetched(make):
    training = make()
    queue.enqueue(training.pk)
    OrmQ.objects.update(lock=timezone.now() + timedelta(days=30))  # fetched, never acknowledged
    reconcile.start_over()
    assert queued() == [training.pk]
    assert OrmQ.objects.get().lock <= timezone.now()


def test_a_task_runs_the_training_whose_turn_it_is(make):
    """Whatever order the broker delivers in. These have no dataset: each fails as soon as it is run."""
    young, old = make(), make(age=2)
    assert tasks.training_run(young.pk) == old.pk
    assert Training.objects.get(pk=old.pk).status == "CREATE_FAILED"
    assert Training.objects.get(pk=young.pk).status == "CREATE_REQUESTED"
    assert queued() == [young.pk]  # the free slot asks for the next
    assert tasks.training_run(young.pk) == young.pk
    assert tasks.training_run(young.pk) == ""


def test_a_training_that_another_runner_holds_is_passed_over(make):
    make("RUNNING", age=3, **elsewhere(20))
    mine = make()
    assert tasks.training_run(mine.pk) == mine.pk


def test_the_folder_of_a_deleted_training_goes_and_the_others_stay(make, home):
    kept = make("STOPPED")
    for name in (kept.pk, "f" * 20):
        (home / "trainings" / name / "checkpoints").mkdir(parents=True)
    reconcile.run()
    assert [path.name for path in (home / "trainings").iterdir()] == [kept.pk]


def test_a_reconciler_that_fails_does_not_keep_the_others_from_their_turn(make, settings, caplog):
    training = make()
    settings.RECONCILERS = ["tests.training.test_reconcile.broken", "training.reconcile.run"]
    tasks.reconcile()
    assert queued() == [training.pk]
    assert "tests.training.test_reconcile.broken failed" in caplog.text


def broken() -> None:
    raise RuntimeError("on purpose")


def test_every_reconciler_of_the_settings_exists_and_runs(make, settings, caplog):
    tasks.reconcile()
    assert "failed" not in caplog.text


def test_the_reconcile_is_scheduled_each_minute(db):
    schedule = Schedule.objects.get(name="reconcile")
    assert (schedule.func, schedule.schedule_type, schedule.minutes) == ("training.tasks.reconcile", "I", 1)


def test_a_lease_runs_out_elsewhere_and_is_renewed_only_by_its_owner(make):
    training = make("RUNNING", **elsewhere(-1))
    owner = lease.take(training)
    assert owner
    lease.renew(training.pk, owner)
    with pytest.raises(lease.LeaseLost), transaction.atomic():
        lease.renew(training.pk, "other-host:1:1.0:abcd")
    lease.release(training.pk, "other-host:1:1.0:abcd")
    training.refresh_from_db()
    assert training.lease_owner == owner
