"""Takes up what a killed worker left: builds without a builder, orders without a task, deletions that did not end."""

import logging
from datetime import timedelta

from django.db.models import Q
from django.utils import timezone

from models_registry import build, services
from models_registry.models import Model
from training.algorithms.base import Message, gettext_noop

log = logging.getLogger(__name__)
FORGOTTEN_SECONDS = 60  # an order that has waited so long may have lost its place in the queue


def start_over() -> None:
    """When a worker starts: the tasks that an earlier one had fetched are lost. A second task finds nothing to do."""
    _return_abandoned_builds()
    for model in Model.objects.filter(status=Model.Status.CREATE_REQUESTED):
        services.enqueue_on_commit(model)


def reconcile() -> None:
    """Each minute. Safe to run at any time, and twice at once: every step is a compare-and-set."""
    _return_abandoned_builds()
    _enqueue_forgotten()
    for model in Model.objects.filter(status=Model.Status.DELETE_IN_PROGRESS):
        services.delete_finish(model)


def _return_abandoned_builds() -> None:
    """A build whose lock nobody holds has lost its worker: order it again, or give it up."""
    for found in Model.objects.filter(status=Model.Status.CREATE_IN_PROGRESS):
        with build.locked(found) as free:
            model = Model.objects.filter(pk=found.pk, status=found.status).first() if free else None
            if model is None:
                continue  # it is being built, or has been since we looked
            log.warning("Model %s was left half-built", model.pk)
            build.again(model, build.Killed(Message(gettext_noop("The worker ended while it built the model."))))
            if model.status == Model.Status.CREATE_REQUESTED:
                services.enqueue_on_commit(model)


def _enqueue_forgotten() -> None:
    """Enqueued twice a model is still built once. `lease_until` keeps a long queue from filling with copies."""
    now = timezone.now()
    long_ago = Q(lease_until=None, created_at__lt=now - timedelta(seconds=FORGOTTEN_SECONDS)) | Q(lease_until__lt=now)
    for model in Model.objects.filter(long_ago, status=Model.Status.CREATE_REQUESTED):
        if Model.objects.filter(pk=model.pk, status=model.status, lease_until=model.lease_until).update(
            lease_until=build.in_a_while(FORGOTTEN_SECONDS)
        ):
            services.enqueue_on_commit(model)
