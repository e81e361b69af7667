"""What follows from a measured curve, and where measuring ends."""

import time

import pytest

from endpoints.engine import curve
from endpoints.engine.curve import Point


@pytest.mark.parametrize(
    ("points", "size"),
    [
        ([(1, 40)], 1),
        ([(1, 40), (2, 80), (4, 158)], 1),  # the same an image: alone is quicker for the caller
        ([(1, 3), (2, 4), (4, 6), (8, 11), (16, 21)], 8),  # 16 saves less than a twentieth
        ([(1, 5), (2, 5), (4, 5), (8, 6), (16, 8), (32, 14)], 32),
    ],
)
def test_batch_is_as_large_as_pays(points, size):
    assert curve.batch_size([Point(*point) for point in points]) == size


@pytest.mark.parametrize(
    ("points", "window"),
    [
        ([(1, 40)], 0),
        ([(1, 40), (2, 79)], 0),  # a second image costs as much as the first
        ([(1, 5), (2, 9), (4, 17)], 0),  # company saves less than a fifth of an image's time
        ([(1, 5), (2, 6), (4, 8)], 6),
        ([(1, 100), (2, 101)], 10),  # nobody waits longer
    ],
)
def test_company_is_waited_for_only_where_it_pays(points, window):
    assert curve.window_ms([Point(*point) for point in points]) == window


def test_size_that_the_memory_does_not_hold_ends_the_curve():
    def run(size):
        if size > 2:
            raise RuntimeError("out of memory")

    assert [point.batch for point in curve.measure(run, largest=32)] == [1, 2]


def test_model_that_cannot_compute_one_image_is_an_error():
    def run(size):
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        curve.measure(run, largest=32)


def test_larger_sizes_than_allowed_are_not_tried():
    sizes = []
    curve.measure(sizes.append, largest=4)
    assert set(sizes) <= {1, 2, 4}


def test_larger_batch_that_was_quicker_shows_what_the_smaller_one_takes_at_most():
    seconds = {1: 0.02, 2: 0.005}
    points = curve.measure(lambda size: time.sleep(seconds[size]), largest=2, seconds=30)
    assert [point.batch for point in points] == [1, 2]
    assert points[0].ms == points[1].ms
