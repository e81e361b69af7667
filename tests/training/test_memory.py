"""A trainer that was killed for want of memory: told apart from others, and resumed with half the batch."""

import json
import os
import signal

import psutil
import pytest

from tests.training.conftest import ENDLESS, began, running, trainer_of, wait_for
from training import memory, services
from training.algorithms.base import Message
from training.trainer import limits

IN_FOURS = {**ENDLESS, "per_device_train_batch_size": 4}


def crashed(training):
    return str(Message.from_json(next(w for w in training.warnings if w["code"] == "crashed")))


def count_less(training):
    """As if the system's count had been lower when the trainer began: one process has been killed since."""
    path = training.folder / "memory.json"
    noted = json.loads(path.read_text())
    path.write_text(json.dumps({**noted, "kills": noted["kills"] - 1}))


def test_a_trainer_that_the_system_killed_for_memory_goes_on_with_half_the_batch(make_training, people):
    training = make_training(**IN_FOURS)
    with running(training):
        wait_for(training, began)
        count_less(training)
        os.kill(trainer_of(training).pid, signal.SIGKILL)
        wait_for(training, lambda t: t.attempts == 1 and began(t))
        services.training_stop(training=training, user=people.editor)
    assert "ran out of memory: the system killed" in crashed(training)
    used = training.settings_used
    assert (used["per_device_train_batch_size"], used["gradient_accumulation_steps"]) == (2, 2)
    halved = next(w for w in training.warnings if w["code"] == "batch_halved")
    assert halved["params"] == {"batch": 4, "size": 2, "parts": 2}
    assert halved["advice"]["text"]
    assert "goes on from step" in training.log_path.read_text()


def test_when_the_smallest_batch_was_killed_too_it_fails_with_the_reason(make_training):
    training = make_training(**ENDLESS | {"per_device_train_batch_size": 2})
    with running(training):
        wait_for(training, began)
        count_less(training)
        os.kill(trainer_of(training).pid, signal.SIGKILL)
    assert training.status == "FAIL_TRAIN"
    assert "smallest batch" in training.status_reason["text"]
    assert training.settings_used["gradient_accumulation_steps"] == 1  # a person's resume tries that again


def test_a_killed_trainer_that_held_nearly_all_memory_most_likely_ran_out_of_it(make_training, people, settings):
    training = make_training(**IN_FOURS)
    with running(training):
        wait_for(training, began)
        trainer = trainer_of(training)
        settings.TRAINER_MEMORY_BYTES = psutil.Process(trainer.pid).memory_info().rss
        step = training.step
        wait_for(training, lambda t: t.step > step + 20)  # the runner has looked since
        os.kill(trainer.pid, signal.SIGKILL)
        settings.TRAINER_MEMORY_BYTES = 0
        wait_for(training, lambda t: t.attempts == 1 and began(t))
        services.training_stop(training=training, user=people.editor)
    assert "most likely it ran out of memory" in crashed(training)
    assert training.settings_used["gradient_accumulation_steps"] == 2


def test_a_trainer_that_someone_killed_keeps_its_batch(make_training, people):
    training = make_training(**IN_FOURS)
    with running(training):
        wait_for(training, began)
        os.kill(trainer_of(training).pid, signal.SIGKILL)
        wait_for(training, lambda t: t.attempts == 1 and began(t))
        services.training_stop(training=training, user=people.editor)
    assert "Often the machine ran out of memory" in crashed(training)
    assert training.settings_used["gradient_accumulation_steps"] == 1


VERSIONS = {
    "0::/job": ("job", limits.VERSION_2, "oom_kill 3\n"),
    "4:memory:/job": ("memory/job", limits.VERSION_1, "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n"),
}


@pytest.mark.parametrize("line", VERSIONS)
def test_limit_and_count_are_those_of_the_cgroup(tmp_path, monkeypatch, line):
    folder, (limit, use, cache, kills), counted = VERSIONS[line]
    own = tmp_path / folder
    own.mkdir(parents=True)
    (tmp_path / "cgroup.controllers").touch()
    (tmp_path / "membership").write_text(f"7:cpu:/elsewhere\n{line}\n")
    monkeypatch.setattr(limits, "CGROUPS", tmp_path)
    monkeypatch.setattr(limits, "MEMBERSHIP", tmp_path / "membership")
    for name, text in ((limit, "1000000"), (use, "700000"), ("memory.stat", f"{cache} 200000\n"), (kills, counted)):
        (own / name).write_text(text)
    assert limits.available_bytes() == 500_000  # page cache is given up
    assert limits.oom_kills()[1] == 3
    (own.parent / limit).write_text("300000")  # the one around it has less
    (own.parent / use).write_text("200000")
    assert limits.available_bytes() == 100_000
    (own / limit).write_text("max")
    (own.parent / limit).write_text("max")
    assert limits.available_bytes() > 1_000_000


def test_counts_of_another_cgroup_or_boot_say_nothing(make_training):
    training = make_training()
    training.folder.mkdir(parents=True)
    assert not memory.system_killed(training)  # from before there was such a note
    memory.note(training)
    assert not memory.system_killed(training)
    count_less(training)
    assert memory.system_killed(training)
    path = training.folder / "memory.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "whose": "another"}))
    assert not memory.system_killed(training)
