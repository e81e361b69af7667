"""Takes up what a killed worker left: builds without a builder, orders without a task, deletions that did not end."""

import logging
from datetime import datetime, timedelta

from django.db.models import Q
from django.utils import timezone

from models_registry import build, services
from models_registry.models import Model
from training import lifecycle

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
    """A build whose lock nobody holds has lost its worker: order it again."""
    for model in Model.objects.filter(status=Model.Status.CREATE_IN_PROGRESS):
        with build.locked(model) as free:
            if free and lifecycle.move(model, Model.Status.CREATE_REQUESTED, lease_until=_a_while()):
                log.warning("Model %s was left half-built: it is built again", model.pk)
                services.enqueue_on_commit(model)


def _enqueue_forgotten() -> None:
    """Enqueued twice a model is still built once. `lease_until` keeps a long queue from filling with copies."""
    now = timezone.now()
    long_ago = Q(lease_until=None, created_at__lt=now - timedelta(seconds=FORGOTTEN_SECONDS)) | Q(lease_until__lt=now)
    for model in Model.objects.filter(long_ago, status=Model.Status.CREATE_REQUESTED):
        if Model.objects.filter(pk=model.pk, status=model.status, lease_until=model.lease_until).update(
            lease_until=_a_while()
        ):
            services.enqueue_on_commit(model)


def _a_while() -> datetime:
    return timezone.now() + timedelta(seconds=FORGOTTEN_SECONDS)
