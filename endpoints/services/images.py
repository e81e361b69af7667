"""Whether a stage keeps the images of its recent requests."""

from typing import Any

from django.db import transaction

from endpoints import kept_images, routes
from endpoints.models import Stage
from endpoints.services import checks
from training import lifecycle


@transaction.atomic
def stage_keep_images(*, stage: Stage, user: Any, keep: bool) -> None:
    """Switch the keeping on or off. Off: those that are kept are removed. Raises Conflict while it is being deleted."""
    checks.lock(stage.endpoint)
    if Stage.objects.filter(pk=stage.pk).exclude(keep_images=keep).update(keep_images=keep):
        lifecycle.record(stage, "images_kept" if keep else "images_removed", actor=user)
    stage.keep_images = keep
    if not keep:
        stage.requests.exclude(image="").update(image="")
        transaction.on_commit(lambda: kept_images.clear(stage.pk))
    transaction.on_commit(routes.publish)
