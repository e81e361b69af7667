"""The batching loop, with a toy for a model: no torch, no ONNX, no HTTP."""

import math
import threading
import time

import numpy as np
import pytest

from endpoints.engine.batcher import Batcher, Batching
from endpoints.engine.errors import DeadlinePassed, InferenceFailed, NotReady, TooBusy

POISON = 13.0


class Toy:
    """Answers the mean of each image. Its runs wait for `gate`; an image of 13s breaks the run it is in."""

    batch_pixels = 4 * 8 * 8

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.begun = threading.Event()
        self.runs: list[int] = []

    def run(self, inputs):
        pixels = inputs["pixel_values"]
        self.begun.set()
        assert self.gate.wait(10)
        self.runs.append(len(pixels))
        means = pixels.mean(axis=(1, 2, 3))
        if (means == POISON).any():
            raise ValueError("poisoned")
        return {"mean": means}


def image(value: float, side: int = 8) -> np.ndarray:
    return np.full((3, side, side), value, dtype=np.float32)


def stack(arrays):
    return {"pixel_values": np.stack(arrays)}


@pytest.fixture
def toy():
    return Toy()


@pytest.fixture
def batcher(toy):
    batcher = Batcher(toy, stack, max_waiting_bytes=8 * image(0).nbytes)
    yield batcher
    toy.gate.set()
    batcher.close()


@pytest.fixture
def busy(toy, batcher):
    """The model is held in a run of one image; what is submitted now waits. `toy.gate.set()` lets it go on."""
    toy.gate.clear()
    first = batcher.submit([image(0)])
    assert toy.begun.wait(5)
    return first


def means(*jobs):
    """Of all images of all jobs, in order."""
    return [float(row["mean"]) for job in jobs for row in job.future.result(5)]


def test_idle_engine_answers_a_lone_request_at_once(batcher, toy):
    began = time.monotonic()
    assert means(batcher.submit([image(7)])) == [7]
    assert time.monotonic() - began < 0.5
    assert toy.runs == [1]


def test_requests_that_wait_together_share_a_run_and_each_gets_its_own_answer(batcher, toy, busy):
    jobs = [batcher.submit([image(value)]) for value in (1, 2, 3)]
    toy.gate.set()
    assert means(*jobs) == [1, 2, 3]
    assert toy.runs == [1, 3]


def test_run_is_never_larger_than_what_pays(batcher, toy, busy):
    jobs = [batcher.submit([image(value) for value in range(6)])]
    toy.gate.set()
    assert means(*jobs) == list(range(6))
    assert toy.runs == [1, 4, 2]


def test_large_images_run_alone(batcher, toy, busy):
    jobs = [batcher.submit([image(1, 16)]), batcher.submit([image(2, 16)])]
    toy.gate.set()
    assert means(*jobs) == [1, 2]
    assert toy.runs == [1, 1, 1]


def test_images_of_different_shapes_do_not_share_a_run(batcher, toy, busy):
    jobs = [batcher.submit([image(value, side)]) for value, side in ((1, 8), (2, 4), (3, 8))]
    toy.gate.set()
    assert means(*jobs) == [1, 2, 3]
    assert toy.runs == [1, 2, 1]


def test_image_that_breaks_the_model_fails_alone(batcher, toy, busy):
    good, bad, other = (batcher.submit([image(value)]) for value in (1, POISON, 3))
    toy.gate.set()
    assert means(good, other) == [1, 3]
    with pytest.raises(InferenceFailed):
        bad.future.result(5)


def test_full_queue_refuses_the_whole_request_and_keeps_the_others(batcher, toy, busy):
    waiting = batcher.submit([image(value) for value in range(7)])
    with pytest.raises(TooBusy):
        batcher.submit([image(8), image(9)])
    toy.gate.set()
    assert means(waiting) == list(range(7))
    assert sum(toy.runs) == 8


def test_cancelled_request_is_not_computed(batcher, toy, busy):
    gone, kept = batcher.submit([image(1)]), batcher.submit([image(2)])
    gone.future.cancel()
    toy.gate.set()
    assert means(kept) == [2]
    assert sum(toy.runs) == 2


def test_caller_that_hung_up_makes_room_in_the_queue_at_once(batcher, toy, busy):
    gone = batcher.submit([image(value) for value in range(8)])
    with pytest.raises(TooBusy):
        batcher.submit([image(9)])
    gone.future.cancel()
    kept = batcher.submit([image(9)])
    toy.gate.set()
    assert means(kept) == [9]
    assert toy.runs == [1, 1]


def test_large_request_lets_the_others_in_between(batcher, toy, busy):
    large, small = batcher.submit([image(value) for value in range(7)]), batcher.submit([image(9)])
    toy.gate.set()
    assert means(small, large) == [9, *range(7)]
    assert toy.runs == [1, 4, 4]


def test_request_whose_time_is_over_is_not_computed(batcher, toy, busy):
    late, kept = batcher.submit([image(1)], time.monotonic() + 0.05), batcher.submit([image(2)])
    time.sleep(0.06)
    toy.gate.set()
    with pytest.raises(DeadlinePassed):
        late.future.result(5)
    assert means(kept) == [2]
    assert sum(toy.runs) == 2


def test_request_that_cannot_be_answered_in_its_time_is_refused_before_it_waits(toy):
    batcher = Batcher(toy, stack, Batching(pixels=4 * 64, pixel_seconds=1 / 64))  # a second an image
    try:
        toy.gate.clear()
        running = batcher.submit([image(0)])
        assert toy.begun.wait(5)
        with pytest.raises(DeadlinePassed):
            batcher.submit([image(1)] * 4, time.monotonic() + 4)  # 1 s for the run, 4 for its own
        with pytest.raises(DeadlinePassed):
            batcher.check_time(4, 64, time.monotonic() + 4)  # it would be decoded for nothing
        in_time = batcher.submit([image(1)] * 4, time.monotonic() + 60)
        toy.gate.set()
        assert means(running, in_time) == [0, 1, 1, 1, 1]
    finally:
        toy.gate.set()
        batcher.close()


def test_image_that_is_on_its_way_is_waited_for_where_that_pays(toy):
    batcher = Batcher(toy, stack, Batching(pixels=4 * 64, window=10))
    try:
        for request in ("second", "broken"):
            batcher.expect(request)
        first = batcher.submit([image(1)])
        second = batcher.submit([image(2)], math.inf, "second")
        assert not toy.begun.wait(0.2)
        batcher.forget("broken")
        assert means(first, second) == [1, 2]
        assert toy.runs == [2]
        assert means(batcher.submit([image(3)])) == [3]  # alone: at once, not after ten seconds
    finally:
        batcher.close()


def test_answer_says_how_many_images_were_computed_together(batcher, toy, busy):
    jobs = [batcher.submit([image(value)]) for value in (1, 2, 3)]
    toy.gate.set()
    assert means(busy, *jobs) == [0, 1, 2, 3]
    assert [job.batch_size for job in (busy, *jobs)] == [1, 3, 3, 3]


def test_close_answers_what_waits_and_then_takes_nothing(toy):
    batcher = Batcher(toy, stack)
    toy.gate.clear()
    jobs = [batcher.submit([image(value)]) for value in (1, 2)]
    threading.Timer(0.1, toy.gate.set).start()
    batcher.close()
    assert means(*jobs) == [1, 2]
    with pytest.raises(NotReady):
        batcher.submit([image(3)])
