"""Each minute, and when a trainer worker starts: what was interrupted goes on, what was left over goes."""

import logging
import shutil
from pathlib import Path

from django.conf import settings
from django_q.brokers import get_broker

from training import queue
from training.models import Training

logger = logging.getLogger(__name__)


def run() -> None:
    wake_slots()
    remove_leftovers()


def wake_slots() -> None:
    """A task for every training that waits or lost its runner, when the broker has none: tasks die with a worker.

    Those that a busy worker has already fetched get a second task. It finds nothing to do.
    """
    if queue.is_empty():
        enqueue_all()


def enqueue_all() -> None:
    for training in queue.candidates():
        queue.enqueue(training.pk)


def start_over() -> None:
    """When a trainer worker starts: the tasks in the broker are an earlier one's, many of them fetched and lost.

    Another host's are among them. It misses none: whatever waits has a task again, also when a new one has come
    between, and a task that a worker has already fetched it keeps.
    """
    get_broker(queue.CLUSTER).purge_queue()
    enqueue_all()


def remove_leftovers() -> None:
    """Folders whose training has been deleted, when the console was killed before it could remove them."""
    folders = {path.name: path for path in Path(settings.CONSOLE_HOME, "trainings").glob("*") if path.is_dir()}
    for training_id in folders.keys() - set(Training.objects.values_list("pk", flat=True)):
        logger.info("removing the folder of the deleted training %s", training_id)
        shutil.rmtree(folders[training_id], ignore_errors=True)
