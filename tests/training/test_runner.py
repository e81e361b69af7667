"""A training from the queue to its end, with the real trainer: what a person sees, and what is left behind."""

import os
import signal

import psutil

from tests.training.conftest import ENDLESS, began, reason, running, statuses, trainer_of, wait_for
from training import lease, processes, runner, services
from training.models import MetricPoint, Training


def nothing_left(training, trainer):
    """No process of the session, no mark of one on the row, nothing half-written in the folder."""
    assert processes.session_members(trainer) == []
    assert runner.strays(training) == []
    assert (training.pid, training.lease_owner) == (None, "")
    assert not list(training.folder.rglob("*.tmp"))
    assert not (training.checkpoints_folder / "partial").exists()


def run_past_its_time(training, condition) -> processes.ProcessId:
    """Run it until `condition`; then its time is up, and it fails for that. -> the trainer that it had"""
    with running(training):
        wait_for(training, condition)
        trainer = trainer_of(training)
        Training.objects.filter(pk=training.pk).update(timeout_minutes=1, run_seconds=60)
    assert training.status == "FAIL_TRAIN"
    assert "maximum time" in reason(training)
    return trainer


def test_a_training_goes_through_its_statuses_to_complete(make_training):
    training = make_training(num_train_epochs=2, save_steps=3)
    assert runner.run(training.pk)
    training.refresh_from_db()
    assert training.status == "COMPLETE", training.log_path.read_text()
    moves = [status for status in statuses(training) if status.isupper()]
    assert moves == ["CREATE_IN_PROGRESS", "RUNNING", "COMPLETE_IN_PROGRESS", "COMPLETE"]
    assert (training.step, training.total_steps, training.epoch) == (8, 8, 2.0)
    assert {"loss", "eval_loss", "accuracy", "f1"} <= training.metrics.keys()
    assert "accuracy" in training.test_metrics
    assert training.settings_used["device"] == "cpu"
    assert training.run_seconds > 0
    assert training.finished_at >= training.started_at
    assert (training.folder / "model" / "model.json").is_file()
    assert "checkpoint" in statuses(training)
    points = MetricPoint.objects.filter(training=training)
    assert list(points.filter(name="loss").values_list("step", flat=True)) == list(range(1, 9))
    assert list(points.filter(name="eval_accuracy").values_list("step", flat=True)) == [4, 8]
    assert runner.run(training.pk) is False  # it has ended


def test_what_a_power_cut_took_from_the_file_does_not_hide_what_comes_next(make_training):
    """The database is synced at every write, the events are not: it may have read more than is left of them."""
    training = make_training(num_train_epochs=1)
    training.folder.mkdir(parents=True, exist_ok=True)
    (training.folder / "events.jsonl").write_text('{"t": 1.0, "type": "phase", "phase": "preparing"}\n{"t": 2.')
    Training.objects.filter(pk=training.pk).update(events_offset=1_000_000)
    assert runner.run(training.pk)
    training.refresh_from_db()
    assert training.status == "COMPLETE"
    assert {"loss", "accuracy"} <= training.metrics.keys()
    assert "RUNNING" in statuses(training)


def test_stop_saves_a_checkpoint_leaves_no_process_and_resumes_from_it(make_training, people):
    training = make_training(**ENDLESS)
    with running(training):
        wait_for(training, began)
        trainer = trainer_of(training)
        services.training_stop(training=training, user=people.editor)
    assert training.status == "STOPPED"
    assert "editor" in reason(training)
    nothing_left(training, trainer)
    stopped_at = training.step
    saved = services.training_checkpoints(training.project, training.algorithm)
    assert saved[0]["id"] == f"{training.pk}/checkpoint-{stopped_at}"

    shorter = {**training.hyperparameters, "num_train_epochs": stopped_at // 4 + 2}
    Training.objects.filter(pk=training.pk).update(hyperparameters=shorter)
    services.training_resume(training=training, user=people.editor)
    assert runner.run(training.pk)
    training.refresh_from_db()
    assert training.status == "COMPLETE", training.log_path.read_text()
    assert f"goes on from step {stopped_at}" in training.log_path.read_text()
    losses = MetricPoint.objects.filter(training=training, name="loss")
    assert list(losses.values_list("step", flat=True)) == list(range(1, training.total_steps + 1))


def test_a_trainer_that_ignores_sigterm_is_killed_after_the_grace_time(make_training, people, settings):
    settings.STOP_GRACE_SECONDS = 1
    training = make_training(**ENDLESS)
    with running(training):
        wait_for(training, began)
        trainer = trainer_of(training)
        os.kill(trainer.pid, signal.SIGSTOP)  # it cannot even hear
        services.training_stop(training=training, user=people.editor)
    assert training.status == "STOPPED"
    nothing_left(training, trainer)


def test_a_killed_trainer_resumes_from_its_checkpoint(make_training, people):
    training = make_training(**ENDLESS)
    with running(training):
        wait_for(training, began)
        first = trainer_of(training)
        os.kill(first.pid, signal.SIGKILL)
        wait_for(training, lambda t: t.attempts == 1 and began(t))
        assert trainer_of(training) != first
        services.training_stop(training=training, user=people.editor)
    assert "goes on from step" in training.log_path.read_text()
    resumed = next(w for w in training.warnings if w["code"] == "resumed")
    assert resumed["params"] == {"attempt": 1, "most": 3}
    crashed = next(w for w in training.warnings if w["code"] == "crashed")
    assert "memory" in crashed["text"]
    nothing_left(training, first)


def test_automatic_resumes_come_to_an_end(make_training):
    training = make_training(**ENDLESS)
    Training.objects.filter(pk=training.pk).update(attempts=3)
    with running(training):
        wait_for(training, began)
        os.kill(trainer_of(training).pid, signal.SIGKILL)
    assert training.status == "FAIL_TRAIN"
    assert "SIGKILL" in reason(training)


def test_the_maximum_time_counts_earlier_attempts(make_training):
    training = make_training(**ENDLESS)
    trainer = run_past_its_time(training, began)
    assert training.run_seconds > 60
    nothing_left(training, trainer)


def test_the_trainers_own_reason_is_the_trainings(make_training):
    training = make_training()
    (training.dataset.data_folder / "index" / "train.jsonl").write_text("")
    runner.run(training.pk)
    training.refresh_from_db()
    assert training.status == "CREATE_FAILED"
    assert "no training images" in reason(training)


def test_a_dataset_that_is_gone_fails_the_training_before_it_starts(make_training):
    training = make_training()
    training.dataset.data_folder.rename(training.dataset.folder / "elsewhere")
    runner.run(training.pk)
    training.refresh_from_db()
    assert training.status == "CREATE_FAILED"
    assert "no longer there" in reason(training)
    assert training.finished_at


def test_a_second_runner_stays_away_and_one_that_lost_its_lease_lets_go_without_killing(make_training, people):
    training = make_training(**ENDLESS)
    with running(training):
        wait_for(training, began)
        trainer = trainer_of(training)
        assert runner.run(training.pk) is False  # a task that came twice
        assert [trainer] == runner.strays(training)
        Training.objects.filter(pk=training.pk).update(lease_owner=f"{lease.host_name()}:1:1.0:abcd")
    assert trainer.alive()
    Training.objects.filter(pk=training.pk).update(lease_owner="")
    with running(training):
        wait_for(training, lambda t: "reattached" in statuses(t))
        assert trainer_of(training) == trainer
        services.training_stop(training=training, user=people.editor)
    assert training.status == "STOPPED"
    nothing_left(training, trainer)


def test_a_lease_of_a_dead_process_is_free_at_once_and_a_living_ones_is_not(make_training):
    training = make_training()
    assert lease.take(training)
    assert lease.held(training)
    assert lease.take(training) == ""
    dead = psutil.Popen(["true"])
    started = dead.create_time()
    dead.wait()
    training.lease_owner = f"{lease.host_name()}:{dead.pid}:{started}:abcd"
    assert not lease.held(training)
