"""Any process may be killed at any moment: a training is neither lost nor run twice, and nothing is left behind."""

import json
import os
import signal
import time

from training.processes import session_members

STOP = """
from django.contrib.auth.models import User
from training import services
from training.models import Training
services.training_stop(training=Training.objects.get(pk="{training}"), user=User.objects.get())
"""


def seconds_until(condition, limit=90):
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < limit
        time.sleep(0.1)
    return time.monotonic() - began


def test_stopping_the_console_saves_a_checkpoint_and_the_training_goes_on_at_the_next_start(console):
    training = console.create()
    console.start_worker()
    console.wait(training, "RUNNING", step=3)
    trainer = console.trainer(training)

    assert console.stop_worker(signal.SIGTERM, seconds=60) == 0
    assert console.processes() == []
    assert session_members(trainer) == []
    status, step, attempts, owner = console.row(training, "status", "step", "attempts", "lease_owner")
    assert (status, attempts, owner) == ("CREATE_REQUESTED", 0, "")
    assert (console.home / "trainings" / training / "checkpoints" / f"checkpoint-{step}").is_dir()

    console.start_worker()
    console.wait(training, "RUNNING", step=step + 2)
    assert console.row(training, "attempts") == (0,)
    assert f"goes on from step {step}" in (console.home / "trainings" / training / "train.log").read_text()


def test_a_killed_worker_takes_its_runner_along_and_the_next_one_finds_the_trainer_again(console):
    training = console.create()
    console.start_worker()
    console.wait(training, "RUNNING", step=3)
    trainer = console.trainer(training)

    console.stop_worker(signal.SIGKILL)
    seconds_until(lambda: [p.pid for p in console.processes()] == [trainer.pid])  # the trainer goes on alone
    before = console.row(training, "step")[0]

    console.start_worker()
    console.wait(training, "RUNNING", step=before + 3)
    assert console.trainer(training) == trainer
    assert "reattached" in console.events(training)
    assert console.row(training, "attempts") == (0,)


def test_a_killed_runner_is_followed_by_another_that_reattaches(console):
    training = console.create()
    waiting = console.create(name="second")
    console.start_worker()
    console.wait(training, "RUNNING", step=3)
    trainer, runner = console.trainer(training), console.runner(training)

    os.kill(runner, signal.SIGKILL)
    seconds_until(lambda: "reattached" in console.events(training))
    assert console.runner(training) != runner
    assert console.trainer(training) == trainer
    assert console.status(waiting) == "CREATE_REQUESTED"  # one slot: the abandoned one came first

    console.shell(STOP.format(training=training))
    console.wait(training, "STOPPED")
    assert session_members(trainer) == []
    console.wait(waiting, "RUNNING", step=1)


def test_everything_killed_at_once_resumes_from_the_checkpoint(console):
    training = console.create()
    console.start_worker()
    console.wait(training, "RUNNING", step=5)
    console.kill_everything()
    console.workers.clear()
    assert console.status(training) == "RUNNING"  # nobody was left to say otherwise

    console.start_worker()
    seconds_until(lambda: console.row(training, "attempts") == (1,))
    step = console.row(training, "step")[0]
    console.wait(training, "RUNNING", step=step + 3)
    assert "goes on from step" in (console.home / "trainings" / training / "train.log").read_text()
    losses = console.shell(
        "from training.models import MetricPoint;"
        "import json; print(json.dumps(list(MetricPoint.objects.filter(name='loss').values_list('step', flat=True))))"
    )
    steps = json.loads(losses)
    assert steps == list(range(1, len(steps) + 1))
