"""The guide's three hyperparameter tables, written out again by hand: name, type, default, smallest, largest."""

import math

import pytest

from training import algorithms

INF = math.inf
GUIDE = [
    ("image_classification", "input_size", int, 28, 4, INF),
    ("image_classification", "learning_rate", float, 0.1, 0.0, INF),
    ("image_classification", "per_device_train_batch_size", int, 16, 2, INF),
    ("image_classification", "per_device_eval_batch_size", int, 16, 1, INF),
    ("image_classification", "num_train_epochs", int, 3, 1, INF),
    ("image_classification", "save_steps", int, 500, 1, INF),
    ("image_classification", "logging_steps", int, 10, 1, INF),
    ("semantic_segmentation", "learning_rate", float, 2e-4, 0.0, INF),
    ("semantic_segmentation", "per_device_train_batch_size", int, 4, 0, INF),
    ("semantic_segmentation", "num_train_epochs", float, 3.0, 0.0, INF),
    ("semantic_segmentation", "save_steps", int, 500, 1, INF),
    ("semantic_segmentation", "logging_steps", int, 10, 1, INF),
    ("object_detection", "learning_rate", float, 2e-4, 0.0, INF),
    ("object_detection", "per_device_train_batch_size", int, 4, 1, INF),
    ("object_detection", "per_device_eval_batch_size", int, 4, 1, INF),
    ("object_detection", "num_train_epochs", float, 3.0, 0.0, INF),
    ("object_detection", "threshold", float, 0.5, 0.0, 1.0),
    ("object_detection", "save_steps", int, 500, 1, INF),
    ("object_detection", "logging_steps", int, 10, 1, INF),
]
ROW = ("key", "name", "kind", "default", "smallest", "largest")


def cleaned(key: str, name: str, value: object) -> int | float:
    values, errors = algorithms.get(key).clean({name: value})
    assert not errors
    return values[name]


def refused(key: str, name: str, value: object) -> bool:
    _, errors = algorithms.get(key).clean({name: value})
    return list(errors) == [name] and name in str(errors[name])


@pytest.mark.parametrize(ROW, GUIDE)
def test_an_absent_value_takes_the_guides_default(key, name, kind, default, smallest, largest):
    value = algorithms.get(key).clean({})[0][name]
    assert value == default
    assert type(value) is kind


@pytest.mark.parametrize(ROW, GUIDE)
def test_the_ends_of_the_range_are_allowed(key, name, kind, default, smallest, largest):
    assert cleaned(key, name, smallest) == smallest
    top = 1e9 if largest is INF else largest
    assert cleaned(key, name, kind(top)) == top


@pytest.mark.parametrize(ROW, GUIDE)
def test_values_outside_the_range_are_refused_by_name(key, name, kind, default, smallest, largest):
    step = 1 if kind is int else 1e-6
    assert refused(key, name, smallest - step)
    if largest is not INF:
        assert refused(key, name, largest + step)


@pytest.mark.parametrize(ROW, GUIDE)
@pytest.mark.parametrize(
    "wrong", [math.nan, INF, -INF, "3", None, True, [1], pytest.param(10**400, id="huge")], ids=str
)
def test_what_is_no_finite_number_is_refused_by_name(key, name, kind, default, smallest, largest, wrong):
    assert refused(key, name, wrong)


@pytest.mark.parametrize(ROW, [row for row in GUIDE if row[2] is int])
def test_a_whole_number_must_be_whole(key, name, kind, default, smallest, largest):
    assert refused(key, name, default + 0.5)


@pytest.mark.parametrize("key", algorithms.PACKAGES)
def test_there_are_no_other_hyperparameters(key):
    names = [h.name for h in algorithms.get(key).hyperparameters]
    assert names == [row[1] for row in GUIDE if row[0] == key]
    assert refused(key, "momentum", 0.9)
