"""What the upload page has to know of uploads that were interrupted, and what it says of its own."""

from typing import Any

from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from training.models import Dataset, DatasetStatus, Project

UPLOAD_SENTENCES = {
    "sending": _("Uploading"),
    "waiting": _("The connection is lost. The upload goes on by itself as soon as it is back."),
    "paused": _("Paused. What was sent is kept."),
    "found": _("This file is being uploaded as “%(name)s”: %(percent)s is here. Press Upload to go on."),
    "gone": _("The upload was deleted. Press Upload to begin again."),
    "logged_out": _("You are logged out. Log in in another tab, then press “Go on”."),
    "failed": _("The upload stopped (HTTP %(status)s). What was sent is kept: press “Go on”."),
}


def unfinished_uploads(project: Project, user: Any) -> list[dict[str, Any]]:
    """The person's own uploads under way in a project, newest first: enough to know the file again."""
    rows = Dataset.objects.filter(project=project, created_by=user, status=DatasetStatus.UPLOADING)
    return [
        {
            "id": row.pk,
            "url": reverse("api-upload", args=[row.pk]),
            "name": row.name,
            "description": row.description,
            "algorithm": row.algorithm,
            "filename": row.source["where"],
            "bytes": row.source["bytes"],
            "modified": row.source.get("modified", ""),
            "done": row.progress.get("done", 0),
        }
        for row in rows.filter(source__kind="upload")
    ]
