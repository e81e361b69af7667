"""Two trainings at once do not share a GPU. (No GPU is needed: it is about what the trainers are told.)"""

import psutil

from tests.training.conftest import running, trainer_of, wait_for
from training import gpus, services

ENDLESS = {"num_train_epochs": 100_000}


def gpu_of(training) -> str:
    return psutil.Process(trainer_of(training).pid).environ()["CUDA_VISIBLE_DEVICES"]


def test_each_of_two_trainings_sees_a_gpu_of_its_own(make_training, people, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,GPU-7")
    first, second, third = (make_training(**ENDLESS) for _ in range(3))
    with running(first):
        wait_for(first, lambda t: t.pid)
        with running(second):
            wait_for(second, lambda t: t.pid)
            assert (gpu_of(first), gpu_of(second)) == ("4", "GPU-7")
            services.training_stop(training=second, user=people.editor)
        with running(third):
            wait_for(third, lambda t: t.pid)
            assert gpu_of(third) == "GPU-7"  # the one that has become free
            services.training_stop(training=third, user=people.editor)
        first.refresh_from_db()
        services.training_stop(training=first, user=people.editor)


def test_on_a_host_without_gpus_the_environment_stays_as_it_is(make_training, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert gpus.choose(make_training()) == {}
