"""What a training says of itself while it runs: that it is of little use, and that this is over."""

import json

import pytest

from tests.runs import events_of, make_dataset, make_run
from training.algorithms.base import Message
from training.trainer.__main__ import main
from training.trainer.events import Events
from training.trainer.watch import EVALUATED, UNPREDICTED, Watch, mean_loss

KEY = "image_classification"
LABELS = [{"id": 0, "name": "circle"}, {"id": 1, "name": "square"}, {"id": 2, "name": "star"}]


def trained(folder, change=lambda data: None, **hyperparameters):
    """A real training of four images; `change` is done to its data first. -> its run folder"""
    data = make_dataset(KEY, folder, {"train": 4, "validation": 4})
    change(data)
    steps = {"per_device_train_batch_size": 2, "logging_steps": 1, **hyperparameters}
    run = make_run(KEY, folder / "run", data, hyperparameters=steps)
    assert main(run) == 0, events_of(run, "failure")
    return run


def notices(run, code):
    """Each change of it: its words, or None where it was taken back."""
    found = [event for event in events_of(run, "notice") if event["code"] == code]
    return [str(Message.from_json(event)) if event["active"] else None for event in found]


def relabel(split, label_of):
    def change(data):
        path = data / "index" / f"{split}.jsonl"
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        path.write_text("".join(json.dumps({**row, "label": label_of(row["label"])}) + "\n" for row in rows))

    return change


@pytest.mark.usefixtures("in_this_process")
def test_a_loss_that_does_not_fall_is_said_while_it_trains(tmp_path):
    run = trained(tmp_path, learning_rate=0.0, num_train_epochs=18)
    said = notices(run, "loss_not_falling")
    assert said[0] is None  # nothing to say yet
    assert any(text and "has not fallen" in text for text in said)
    first = next(e for e in events_of(run, "notice") if e["code"] == "loss_not_falling" and e["active"])
    assert "learning_rate" in str(Message.from_json(first["advice"]))
    assert first["t"] < events_of(run, "phase")[-1]["t"]  # before its end


@pytest.mark.usefixtures("in_this_process")
def test_a_class_that_is_never_predicted_is_named_after_two_evaluations(tmp_path):
    run = trained(tmp_path, relabel("train", lambda label: 0), num_train_epochs=6)
    evaluations = [event["t"] for event in events_of(run, "metric") if "eval_loss" in event["values"]]
    said = [event for event in events_of(run, "notice") if event["code"] == "never_predicted" and event["active"]]
    assert said[-1]["params"] == {"count": 1, "names": "square"}
    assert said[0]["t"] > evaluations[1]


@pytest.mark.usefixtures("in_this_process")
def test_a_validation_figure_that_falls_while_the_loss_falls_is_called_over_fitting(tmp_path):
    """The validation images have each other's labels: the better it learns, the worse it does on them."""
    run = trained(tmp_path, relabel("validation", lambda label: 1 - label), num_train_epochs=25)
    said = [text for text in notices(run, "overfitting") if text]
    assert said
    assert "accuracy was best after epoch" in said[-1]


@pytest.fixture
def watch(tmp_path):
    return Watch(Events(tmp_path), "accuracy", LABELS)


def evaluation(step, accuracy, unpredicted=()):
    return {"step": step, "epoch": step / 10, "eval_accuracy": accuracy, EVALUATED: 1.0, UNPREDICTED: [*unpredicted]}


def loss_lines(values, every=10):
    return [{"step": (i + 1) * every, "loss": value} for i, value in enumerate(values)]


def test_a_loss_that_falls_or_a_figure_that_rises_is_no_reason_for_a_notice(watch):
    flat, falling = loss_lines([1.0] * 5), loss_lines([1.0, 0.9, 0.8, 0.7, 0.6])
    assert watch.not_falling(flat[:2], 50) is None  # too early
    assert watch.not_falling(flat, 50) is not None
    assert watch.not_falling(falling, 50) is None
    assert watch.not_falling([*flat, evaluation(10, 0.3), evaluation(20, 0.5)], 50) is None  # it learns all the same
    assert watch.not_falling([*flat, evaluation(10, 0.97)], 50) is None  # a good model, trained further


def test_only_what_both_newest_evaluations_miss_is_never_predicted(watch):
    history = [evaluation(10, 0.3, [0, 1, 2]), evaluation(20, 0.3, [1, 2])]
    assert watch.never_predicted(history[:1], 50) is None
    assert watch.never_predicted(history, 50)[0].params == {"count": 2, "names": "square, star"}
    assert watch.never_predicted([*history, evaluation(30, 0.4, [0])], 50) is None


def test_over_fitting_needs_three_evaluations_a_fallen_figure_and_a_falling_loss(watch):
    losses = loss_lines([1.0, 0.8, 0.6])
    history = [evaluation(10, 0.8), evaluation(20, 0.75), evaluation(30, 0.7)]
    assert watch.overfitting([*losses, *history[:2]], 30) is None
    message, advice = watch.overfitting([*losses, *history], 30)
    assert message.params == {"figure": "accuracy", "epoch": "1", "best": "0.800", "now": "0.700"}
    assert "early stopping" in str(advice)
    assert watch.overfitting([*loss_lines([1.0, 1.2, 1.3]), *history], 30) is None  # it does not learn either
    assert watch.overfitting([*losses, *history, evaluation(40, 0.9)], 40) is None


def test_what_is_no_longer_true_is_taken_back_and_said_only_once(watch, tmp_path):
    class State:
        max_steps, log_history = 50, []

    missed = [evaluation(10, 0.3, [1]), evaluation(20, 0.3, [1])]
    for history in (missed[:1], missed, [*missed, evaluation(30, 0.9)]):
        State.log_history = history
        watch.on_log(None, State, None)
        watch.on_log(None, State, None)
    assert notices(tmp_path, "never_predicted") == [
        None,
        "Of 1 class(es) not one image was predicted in the last evaluations: square.",
        None,
    ]


def test_the_average_loss_of_some_steps_comes_from_the_logged_averages():
    history = [{"step": 1, "loss": 4.0}, {"step": 10, "loss": 2.0}, {"step": 20, "loss": 1.0}]
    assert mean_loss(history, 0, 10) == pytest.approx((4 + 9 * 2) / 10)
    assert mean_loss(history, 5, 15) == pytest.approx(1.5)
    assert mean_loss(history, 20, 30) is None
