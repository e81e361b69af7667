"""What the workers run, called by dotted name. A few lines each: the work is elsewhere."""

import logging

from django.conf import settings
from django.utils.module_loading import import_string

from training import dataset_files, imports, ingest, queue, runner, shutdown

logger = logging.getLogger(__name__)


def training_run(training_id: str) -> str:
    """Run the training whose turn it is: normally `training_id`, whose task this is (see queue.py). -> its id."""
    if shutdown.requested():
        return ""
    here = filter(queue.fits_here, queue.candidates())
    done = next((training.pk for training in here if runner.run(training.pk)), "")
    if done != training_id:
        logger.info("the task of training %s ran %s", training_id, done or "nothing")
    if not shutdown.requested():
        queue.wake_next()
    return done


def reconcile() -> None:
    """Each minute."""
    _call_each(settings.RECONCILERS)


def start_over() -> None:
    """When a worker starts: what an earlier one was at goes on at once, not at the minute."""
    _call_each([*settings.AT_WORKER_START, *settings.RECONCILERS])


def _call_each(names: list[str]) -> None:
    """A part that fails is logged and does not keep the others from their turn."""
    for name in names:
        try:
            import_string(name)()
        except Exception:
            logger.exception("reconcile: %s failed", name)


def dataset_ingest(dataset_id: str) -> None:
    """Validate an uploaded zip: its dataset becomes READY or INVALID."""
    ingest.run(dataset_id)


def dataset_import(dataset_id: str) -> None:
    """Copy a folder or a bucket's objects: what comes is validated like an upload."""
    imports.run(dataset_id)


def dataset_remove(dataset_id: str) -> None:
    """Delete the files, then the row, of a dataset."""
    dataset_files.remove(dataset_id)
