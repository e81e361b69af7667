"""Takes up what a killed worker left: builds without a builder, deletions that did not end. Once a minute."""

import logging
from datetime import timedelta

from django.db.models import Q
from django.utils import timezone

from models_registry import services
from models_registry.build import LEASE_SECONDS, lease_end
from models_registry.models import Model
from training import lifecycle

log = logging.getLogger(__name__)


def reconcile() -> None:
    """Safe to run at any time, and twice at once: every step is a compare-and-set."""
    _return_abandoned_builds()
    _enqueue_forgotten()
    for model in Model.objects.filter(status=Model.Status.DELETE_IN_PROGRESS):
        services.delete_finish(model)


def _return_abandoned_builds() -> None:
    """A build whose lease ran out has lost its worker: order it again."""
    for model in Model.objects.filter(status=Model.Status.CREATE_IN_PROGRESS, lease_until__lt=timezone.now()):
        if lifecycle.move(model, Model.Status.CREATE_REQUESTED, lease_until=None):
            log.warning("Model %s was left half-built: it is built again", model.pk)


def _enqueue_forgotten() -> None:
    """A model that has been ordered for a while may have lost its place in the queue.

    Enqueued twice it is still built once. The lease keeps a long queue from filling with copies.
    """
    now = timezone.now()
    long_ago = Q(lease_until=None, created_at__lt=now - timedelta(seconds=LEASE_SECONDS)) | Q(lease_until__lt=now)
    for model in Model.objects.filter(long_ago, status=Model.Status.CREATE_REQUESTED):
        if Model.objects.filter(pk=model.pk, status=model.status, lease_until=model.lease_until).update(
            lease_until=lease_end()
        ):
            services.enqueue_on_commit(model)
