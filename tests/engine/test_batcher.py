"""The batching loop, with a toy for a model: no torch, no ONNX, no HTTP."""

import threading
import time

import numpy as np
import pytest

from endpoints.engine.batcher import Batcher
from endpoints.engine.errors import InferenceFailed, NotReady, TooBusy

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
    first = batcher.submit([image(0)])[0]
    assert toy.begun.wait(5)
    return first


def means(futures):
    return [float(future.result(5)["mean"]) for future in futures]


def test_idle_engine_answers_a_lone_request_at_once(batcher, toy):
    began = time.monotonic()
    assert means(batcher.submit([image(7)])) == [7]
    assert time.monotonic() - began < 0.5
    assert toy.runs == [1]


def test_requests_that_wait_together_share_a_run_and_each_gets_its_own_answer(batcher, toy, busy):
    futures = [batcher.submit([image(value)])[0] for value in (1, 2, 3)]
    toy.gate.set()
    assert means(futures) == [1, 2, 3]
    assert toy.runs == [1, 3]


def test_run_is_never_larger_than_what_pays(batcher, toy, busy):
    futures = batcher.submit([image(value) for value in range(6)])
    toy.gate.set()
    assert means(futures) == list(range(6))
    assert toy.runs == [1, 4, 2]


def test_large_images_run_alone(batcher, toy, busy):
    futures = [*batcher.submit([image(1, 16)]), *batcher.submit([image(2, 16)])]
    toy.gate.set()
    assert means(futures) == [1, 2]
    assert toy.runs == [1, 1, 1]


def test_images_of_different_shapes_do_not_share_a_run(batcher, toy, busy):
    futures = [batcher.submit([image(value, side)])[0] for value, side in ((1, 8), (2, 4), (3, 8))]
    toy.gate.set()
    assert means(futures) == [1, 2, 3]
    assert toy.runs == [1, 2, 1]


def test_image_that_breaks_the_model_fails_alone(batcher, toy, busy):
    good, bad, other = (batcher.submit([image(value)])[0] for value in (1, POISON, 3))
    toy.gate.set()
    assert means([good, other]) == [1, 3]
    with pytest.raises(InferenceFailed):
        bad.result(5)


def test_full_queue_refuses_the_whole_request_and_keeps_the_others(batcher, toy, busy):
    waiting = batcher.submit([image(value) for value in range(7)])
    with pytest.raises(TooBusy):
        batcher.submit([image(8), image(9)])
    toy.gate.set()
    assert means(waiting) == list(range(7))
    assert sum(toy.runs) == 8


def test_cancelled_request_is_not_computed(batcher, toy, busy):
    gone, kept = batcher.submit([image(1)])[0], batcher.submit([image(2)])[0]
    gone.cancel()
    toy.gate.set()
    assert means([kept]) == [2]
    assert sum(toy.runs) == 2


def test_close_answers_what_waits_and_then_takes_nothing(toy):
    batcher = Batcher(toy, stack)
    toy.gate.clear()
    futures = [batcher.submit([image(value)])[0] for value in (1, 2)]
    threading.Timer(0.1, toy.gate.set).start()
    batcher.close()
    assert means(futures) == [1, 2]
    with pytest.raises(NotReady):
        batcher.submit([image(3)])
