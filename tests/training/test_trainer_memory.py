"""A batch that does not fit into memory is trained in parts: found out before the first epoch, or in the middle."""

import json
import resource
import shutil
import time

import psutil
import pytest
import torch

from tests.runs import ARCHITECTURES, events_of, make_dataset, make_run, start_trainer, train
from training import algorithms
from training.algorithms.base import Message
from training.trainer import checkpoints
from training.trainer.__main__ import main
from training.trainer.events import Events
from training.trainer.failures import Failure
from training.trainer.memory import Memory, largest_rows, untouched
from training.trainer.weights import Weights

KEY = "image_classification"
WIDE = {"embedding_size": 64, "hidden_sizes": [64, 64], "depths": [1, 1], "layer_type": "basic"}  # wants much memory
BIG = {"input_size": 224, "per_device_train_batch_size": 32, "logging_steps": 1}


def big_run(folder, **changes):
    """Two steps an epoch of 32 images each: some hundreds of megabytes, of which 16 images want about half."""
    hyperparameters = {**BIG, **changes.pop("hyperparameters", {})}
    if not (folder / "data").exists():
        make_dataset(KEY, folder, {"train": 64, "validation": 4})
    return make_run(KEY, folder / "run", folder / "data", architecture=WIDE, hyperparameters=hyperparameters, **changes)


def settings_of(run):
    found = {}
    for event in events_of(run, "setting"):
        found |= event["values"]
    return found


def between(held) -> int:
    """A limit that half a batch keeps to and a whole one does not."""
    return min(held) + int((max(held) - min(held)) * 0.6)


def until(condition, process, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)


def losses(run):
    path = run / "events.jsonl"
    return [e for e in events_of(run, "metric") if "loss" in e["values"]] if path.exists() else []


@pytest.fixture(scope="module")
def held(tmp_path_factory):
    """What a real trainer of big batches holds, seen often: (resident bytes, bytes that RLIMIT_DATA counts)."""
    run = big_run(tmp_path_factory.mktemp("measured"), hyperparameters={"num_train_epochs": 1000})
    process = start_trainer(run)
    try:
        until(lambda: len(losses(run)) > 2, process)
        seen = []
        while len(losses(run)) < 6:
            memory = psutil.Process(process.pid).memory_info()
            seen.append((memory.rss, memory.data))
            time.sleep(0.002)
    finally:
        process.kill()
        process.wait()
    return seen


def test_a_batch_that_will_not_fit_is_halved_before_the_first_step_and_stays_so_after_a_resume(tmp_path, held):
    steps = {"num_train_epochs": 2, "save_steps": 2}
    run = big_run(tmp_path, memory_bytes=between([rss for rss, _data in held]), hyperparameters=steps)
    assert train(run) == 0, (run / "train.log").read_text()[-3000:]
    used = settings_of(run)
    parts = used["gradient_accumulation_steps"]
    assert parts > 1
    assert used["per_device_train_batch_size"] * parts == 32
    first_loss = losses(run)[0]["t"]
    notices = [e for e in events_of(run, "notice") if e["code"] == "batch_halved"]
    assert [e["t"] < first_loss for e in notices] == [True]
    assert "effective batch stays 32" in str(Message.from_json(notices[0]))
    assert [e["step"] for e in losses(run)] == [1, 2, 3, 4]  # as many steps as with the whole batch
    assert checkpoints.manifest(run / "checkpoints" / "checkpoint-2")["parts"] == parts
    assert json.loads((run / "model/model.json").read_text())["settings"]["gradient_accumulation_steps"] == parts

    shutil.rmtree(run / "checkpoints" / "checkpoint-4")
    big_run(tmp_path, resume=True, hyperparameters=steps)  # there is no limit any more
    assert train(run) == 0
    assert [e["step"] for e in losses(run)] == [1, 2, 3, 4, 3, 4]
    assert settings_of(run)["gradient_accumulation_steps"] == parts


def test_memory_that_becomes_short_in_the_middle_halves_the_batch_and_loses_no_step(tmp_path, held):
    run = big_run(tmp_path / "run", hyperparameters={"num_train_epochs": 15})
    limit = between([data for _rss, data in held])
    process = start_trainer(run)
    try:
        until(lambda: len(losses(run)) > 3, process)
        resource.prlimit(process.pid, resource.RLIMIT_DATA, (limit, limit))
        assert process.wait(120) == 0, (run / "train.log").read_text()[-3000:]
    finally:
        process.kill()
    assert [e["step"] for e in losses(run)] == list(range(1, 31))
    used = settings_of(run)
    assert used["gradient_accumulation_steps"] > 1
    assert used["per_device_train_batch_size"] * used["gradient_accumulation_steps"] == 32
    [*_, notice] = [e for e in events_of(run, "notice") if e["code"] == "batch_halved"]
    assert notice["t"] > losses(run)[2]["t"]


def test_when_not_even_the_smallest_batch_fits_the_reason_says_so(tmp_path, in_this_process):
    data = make_dataset(KEY, tmp_path)
    run = make_run(
        KEY, tmp_path / "run", data, hyperparameters={"per_device_train_batch_size": 8}, gradient_accumulation_steps=8
    )
    assert main(run) == 1
    failure = events_of(run, "failure")[-1]
    assert failure["code"] == "out_of_memory"
    assert "smallest batch, 2 image(s)" in str(Message.from_json(failure))
    assert settings_of(run)["gradient_accumulation_steps"] == 4  # a person's resume tries that again


@pytest.mark.parametrize("key", algorithms.PACKAGES)
def test_every_algorithm_trains_in_parts_as_many_steps_as_whole(tmp_path, key, in_this_process):
    data = make_dataset(key, tmp_path, {"train": 7, "validation": 2})
    steps = {"per_device_train_batch_size": 4, "logging_steps": 1}
    run = make_run(key, tmp_path / "run", data, hyperparameters=steps, gradient_accumulation_steps=2)
    assert main(run) == 0, events_of(run, "failure")
    assert [e["step"] for e in losses(run)] == [1, 2]
    assert settings_of(run)["per_device_train_batch_size"] == 2


def test_the_automatic_batch_heeds_the_limit_and_is_not_divided(tmp_path):
    """In processes of their own: what a trainer held before would look like memory that it need not take."""
    key = "semantic_segmentation"
    data = make_dataset(key, tmp_path, {"train": 12, "validation": 2})
    sizes = {}
    for name, most in (("free", 0), ("tight", 900 * 2**20)):
        hyperparameters = {"per_device_train_batch_size": 0, "num_train_epochs": 0.1}
        run = make_run(key, tmp_path / name, data, hyperparameters=hyperparameters, memory_bytes=most)
        assert train(run) == 0, (run / "train.log").read_text()
        assert settings_of(run)["gradient_accumulation_steps"] == 1
        sizes[name] = settings_of(run)["per_device_train_batch_size"]
    assert sizes["tight"] < sizes["free"] == 12


@pytest.mark.parametrize(("batch", "smallest", "steps"), [(16, 2, [2, 4, 8]), (5, 1, [2, 4, 5]), (6, 2, [2, 3])])
def test_a_batch_is_halved_down_to_its_smallest_part(tmp_path, batch, smallest, steps):
    memory, found = Memory(batch, smallest, Events(tmp_path)), []
    for _ in steps:
        memory.halve()
        found.append(memory.parts)
    with pytest.raises(Failure):
        memory.halve()
    assert found == steps
    for rows in range(smallest, batch + 1):  # the last batch of an epoch is smaller
        pieces = memory.pieces({"x": torch.arange(rows), "labels": [*range(rows)]})
        assert sum(share for _piece, share in pieces) == pytest.approx(1)
        assert [i for piece, _share in pieces for i in piece["labels"]] == [*range(rows)]
        assert min(len(piece["x"]) for piece, _share in pieces) >= smallest


def test_the_gradients_of_the_parts_are_those_of_the_batch(tmp_path):
    train_module = algorithms.part(KEY, "train")
    torch.manual_seed(0)

    class Network(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = torch.nn.Linear(12, 3)

        def forward(self, pixel_values):
            return type("Output", (), {"logits": self.head(pixel_values.flatten(1))})

    network = Network()
    batch = {"pixel_values": torch.randn(7, 3, 2, 2), "labels": torch.randint(0, 3, (7,))}
    train_module.loss(network, batch).backward()
    whole = network.head.weight.grad.clone()
    network.zero_grad()
    memory = Memory(7, 1, Events(tmp_path), parts=3)
    for piece, share in memory.pieces(batch):
        (train_module.loss(network, piece) * share).backward()
    assert torch.allclose(network.head.weight.grad, whole, atol=1e-6)


@pytest.mark.parametrize("key", algorithms.PACKAGES)
def test_a_trial_leaves_weights_statistics_and_random_numbers_as_they_were(tmp_path, key, in_this_process):
    folder = make_dataset(key, tmp_path, {"train": 2})
    train_module, predict = algorithms.part(key, "train"), algorithms.part(key, "predict")
    labels = json.loads((folder / "labels.json").read_text())
    preprocessing = predict.preprocessing({"input_size": 28}, {"median_size": [64, 64]})
    network = train_module.build(ARCHITECTURES[key], labels, Weights("scratch")).train()
    data = train_module.Data(folder, "train", preprocessing, labels, 42)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    with untouched(network):
        train_module.loss(network, train_module.collate([data[0], data[1]])).backward()
        torch.rand(1)
    assert torch.equal(torch.rand(3), expected)
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert all(p.grad is None for p in network.parameters())


def test_the_largest_batch_has_the_tallest_and_the_widest_image():
    class Data(list):
        def shape(self, index):
            return self[index]

    shapes = Data([(10, 10), (30, 5), (20, 20), (5, 40), (21, 21)])
    assert largest_rows(shapes, 1) == [4]
    assert set(largest_rows(shapes, 2)) == {1, 3}
    assert set(largest_rows(shapes, 3)) == {1, 3, 4}
    assert largest_rows(Data([(), (), ()]), 2) == [0, 1]


def short_of_memory(monkeypatch, times: int) -> None:
    """AdamW finds no memory for its moments, so many times; each time it has half of those of a weight already."""
    real, left = torch.optim.AdamW._init_group, [True] * times

    def init_group(self, group, *lists):
        if not left:
            return real(self, group, *lists)
        left.pop()
        weight = group["params"][0]
        self.state[weight] |= {"step": torch.tensor(0.0), "exp_avg": torch.zeros_like(weight)}
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr(torch.optim.AdamW, "_init_group", init_group)


def test_an_optimiser_that_finds_no_memory_for_its_first_step_takes_it_after_the_batch_was_halved(
    tmp_path, in_this_process, monkeypatch
):
    data = make_dataset(KEY, tmp_path, {"train": 4, "validation": 2})
    models = {}
    for name, times in (("enough", 0), ("short", 1)):
        short_of_memory(monkeypatch, times)
        hyperparameters = {"per_device_train_batch_size": 4, "num_train_epochs": 1, "logging_steps": 1}
        run = make_run(KEY, tmp_path / name, data, hyperparameters=hyperparameters)
        assert main(run) == 0, events_of(run, "failure")
        assert [e["step"] for e in losses(run)] == [1]
        assert settings_of(run)["gradient_accumulation_steps"] == times + 1
        assert [e["code"] for e in events_of(run, "notice") if e["code"] == "batch_halved"] == ["batch_halved"] * times
        models[name] = (run / "model" / "model.safetensors").read_bytes()
    assert models["short"] == models["enough"]  # the step is the same: its gradients were there


def test_an_optimiser_that_never_finds_memory_is_a_failure_with_the_reason(tmp_path, in_this_process, monkeypatch):
    data = make_dataset(KEY, tmp_path)
    short_of_memory(monkeypatch, 100)
    run = make_run(KEY, tmp_path / "run", data, hyperparameters={"per_device_train_batch_size": 4})
    assert main(run) == 1
    assert losses(run) == []
    failure = events_of(run, "failure")[-1]
    assert failure["code"] == "out_of_memory"
    assert "smallest batch, 2 image(s)" in str(Message.from_json(failure))


def test_images_too_large_for_the_memory_are_refused_before_they_are_loaded(tmp_path):
    """10 images of 20,000 x 20,000 pixels would be 45 GB."""
    changes = {"input_size": 20_000, "per_device_train_batch_size": 10}
    run = big_run(tmp_path, hyperparameters=changes, memory_bytes=2 * 2**30)
    process = psutil.Process(start_trainer(run).pid)
    most = 0
    while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
        try:
            most = max(most, process.memory_info().rss)
        except psutil.NoSuchProcess:
            break
        time.sleep(0.05)
    (failure,) = events_of(run, "failure")
    assert "The images of one batch alone take" in str(Message.from_json(failure))
    assert most < 2 * 2**30
