"""events.jsonl -> the database, whatever is in the file and wherever a runner dies."""

import json

import pytest

from training import relay
from training.lease import LeaseLost
from training.models import MetricPoint, Training

OWNER = "here:1:1.0:abcd"


@pytest.fixture
def training(db, home, project) -> Training:
    training = Training.objects.create(
        project=project,
        name="t",
        dataset_name="d",
        algorithm="image_classification",
        status="CREATE_IN_PROGRESS",
        lease_owner=OWNER,
    )
    training.folder.mkdir(parents=True)
    return training


def write(training, *events) -> bytes:
    lines = b"".join(json.dumps({"t": 1.0, **event}, ensure_ascii=False).encode() + b"\n" for event in events)
    with (training.folder / "events.jsonl").open("ab") as file:
        file.write(lines)
    return lines


def metric(step, **values):
    return {"type": "metric", "step": step, "epoch": step / 4, "values": values}


def points(training):
    return sorted(MetricPoint.objects.filter(training=training).values_list("name", "step", "value"))


def test_nothing_is_lost_or_doubled_wherever_the_file_is_cut(training):
    whole = write(
        training,
        {"type": "phase", "phase": "training"},
        *(metric(step, loss=1 / step, **{"eval_per_category_iou/길": 0.5}) for step in range(1, 30)),
        {"type": "phase", "phase": "saving"},
    )
    path = training.folder / "events.jsonl"
    for end in range(0, len(whole) + 37, 37):
        path.write_bytes(whole[:end])
        relay.drain(Training.objects.get(), OWNER)
    assert [point for point in points(training) if point[0] == "loss"] == [("loss", n, 1 / n) for n in range(1, 30)]
    assert len(points(training)) == 58
    training.refresh_from_db()
    assert training.events_offset == len(whole)
    assert training.status == "COMPLETE_IN_PROGRESS"
    assert [event.to_status for event in training.events().order_by("id")] == ["RUNNING", "COMPLETE_IN_PROGRESS"]


def test_a_resumed_attempts_points_replace_the_old_ones(training):
    write(training, metric(1, loss=5.0), metric(2, loss=4.0), metric(2, loss=3.0))
    relay.drain(training, OWNER)
    assert points(training) == [("loss", 1, 5.0), ("loss", 2, 3.0)]


def test_the_newest_figures_are_on_the_training(training):
    write(
        training,
        {"type": "progress", "step": 3, "total_steps": 8, "epoch": 0.4, "eta_seconds": 12.5},
        metric(4, loss=0.5, learning_rate=1e-3),
        metric(4, eval_loss=0.7, eval_accuracy=0.25, **{"eval_per_category_iou/a": 0.1}),
        {"type": "setting", "values": {"device": "cpu", "per_device_train_batch_size": 4}},
        {"type": "setting", "values": {"per_device_train_batch_size": 2}},
    )
    relay.drain(training, OWNER)
    training.refresh_from_db()
    assert (training.step, training.total_steps, training.eta_seconds) == (4, 8, 12.5)
    assert training.epoch == 1.0  # that of the newest step, too
    assert training.metrics == {"loss": 0.5, "eval_loss": 0.7, "accuracy": 0.25}
    assert training.settings_used == {"device": "cpu", "per_device_train_batch_size": 2}


def test_more_steps_than_a_column_holds_do_not_keep_the_rest_from_the_database(training):
    write(training, {"type": "progress", "step": 3, "total_steps": 8 * 10**19, "epoch": 0.4, "eta_seconds": 1e18})
    write(training, metric(4, loss=0.5))
    relay.drain(training, OWNER)
    training.refresh_from_db()
    assert (training.step, training.total_steps) == (4, relay.MOST_STEPS)
    assert points(training) == [("loss", 4, 0.5)]


def test_a_warning_that_comes_with_each_attempt_is_shown_once(training):
    warning = {"type": "warning", "code": "scratch", "text": "From scratch.", "params": {}}
    write(training, warning, {**warning, "code": "slow"}, warning)
    relay.drain(training, OWNER)
    assert sorted(warning["code"] for warning in training.warnings) == ["scratch", "slow"]


def test_a_notice_comes_with_its_advice_is_renewed_in_place_and_taken_back(training):
    advice = {"text": "Lower it.", "params": {}}
    notice = {"type": "notice", "code": "flat", "active": True, "level": "warning", "text": "Flat.", "params": {}}
    write(
        training,
        notice | {"advice": advice},
        {**notice, "code": "other"},
        notice | {"text": "Still.", "advice": advice},
    )
    relay.drain(training, OWNER)
    flat = {"code": "flat", "level": "warning", "text": "Still.", "params": {}, "advice": advice}
    assert training.warnings == [flat, {"code": "other", "level": "warning", "text": "Flat.", "params": {}}]
    write(
        training, {"type": "notice", "code": "flat", "active": False}, {"type": "notice", "code": "x", "active": False}
    )
    relay.drain(training, OWNER)
    assert [warning["code"] for warning in training.warnings] == ["other"]


def test_the_result_and_the_test_result_are_kept_apart(training):
    write(training, {"type": "result", "metrics": {"accuracy": 0.9}, "test_metrics": {"accuracy": 0.8}})
    relay.drain(training, OWNER)
    training.refresh_from_db()
    assert (training.metrics["accuracy"], training.test_metrics) == (0.9, {"accuracy": 0.8})


def test_a_torn_line_does_not_keep_the_rest_from_the_database(training):
    write(training, metric(1, loss=1.0))
    with (training.folder / "events.jsonl").open("ab") as file:
        file.write(b'{"t": 1, "type": "met\x00\x00\n')
    write(training, metric(2, loss=2.0))
    relay.drain(training, OWNER)
    assert points(training) == [("loss", 1, 1.0), ("loss", 2, 2.0)]


def test_a_class_with_a_very_long_name_still_has_its_series(training):
    write(training, metric(1, **{"eval_per_category_iou/" + "x" * 300: 0.5}))
    relay.drain(training, OWNER)
    ((name, step, value),) = points(training)
    assert (len(name), step, value) == (120, 1, 0.5)


def test_a_stop_that_was_asked_for_is_not_undone_by_a_late_phase(training):
    Training.objects.filter(pk=training.pk).update(status="STOP_IN_PROGRESS")
    write(training, {"type": "phase", "phase": "training"}, {"type": "phase", "phase": "saving"})
    relay.drain(training, OWNER)
    training.refresh_from_db()
    assert (training.status, training.phase) == ("STOP_IN_PROGRESS", "saving")


def test_a_runner_without_the_lease_writes_nothing(training):
    write(training, metric(1, loss=1.0))
    with pytest.raises(LeaseLost):
        relay.drain(training, "elsewhere:1:1.0:abcd")
    assert points(training) == []
    training.refresh_from_db()
    assert training.events_offset == 0
