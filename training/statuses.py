"""Statuses and their colours, roles and priorities. The layers above add the statuses of their own resources."""

from django.db import models
from django.utils.translation import gettext_lazy as _


class Status(models.TextChoices):
    """A TextChoices whose members also have the colour of their badge (a Tabler colour name)."""

    @property
    def colour(self) -> str:
        return COLOURS.get(self.value, "blue")


COLOURS = {
    "READY": "green",
    "ACTIVE": "green",
    "COMPLETE": "green",
    "INVALID": "red",
    "FAIL_TRAIN": "red",
    "CREATE_FAILED": "red",
    "UPDATE_FAILED": "red",
    "DEPLOY_FAILED": "red",
    "STOPPED": "secondary",
    "PROMOTED": "green",
    "ROLLED_BACK": "orange",
    "ENDED": "secondary",
    "DELETE_IN_PROGRESS": "orange",
    "STOP_IN_PROGRESS": "orange",
    "CREATE_REQUESTED": "azure",
}


class DatasetStatus(Status):
    UPLOADING = "UPLOADING", _("UPLOADING")
    VALIDATING = "VALIDATING", _("VALIDATING")
    READY = "READY", _("READY")
    INVALID = "INVALID", _("INVALID")
    DELETE_IN_PROGRESS = "DELETE_IN_PROGRESS", _("DELETE IN PROGRESS")


class ExperimentStatus(Status):
    ACTIVE = "ACTIVE", _("ACTIVE")


class TrainingStatus(Status):
    CREATE_REQUESTED = "CREATE_REQUESTED", _("CREATE REQUESTED")
    CREATE_IN_PROGRESS = "CREATE_IN_PROGRESS", _("CREATE IN PROGRESS")
    RUNNING = "RUNNING", _("RUNNING")
    STOP_IN_PROGRESS = "STOP_IN_PROGRESS", _("STOP IN PROGRESS")
    STOPPED = "STOPPED", _("STOPPED")
    COMPLETE_IN_PROGRESS = "COMPLETE_IN_PROGRESS", _("COMPLETE IN PROGRESS")
    COMPLETE = "COMPLETE", _("COMPLETE")
    FAIL_TRAIN = "FAIL_TRAIN", _("FAIL TRAIN")
    CREATE_FAILED = "CREATE_FAILED", _("CREATE FAILED")


class Priority(models.IntegerChoices):
    HIGH = 1, _("High")
    NORMAL = 0, _("Normal")
    LOW = -1, _("Low")


class Role(models.TextChoices):
    VIEWER = "viewer", _("Viewer")
    EDITOR = "editor", _("Editor")
    ADMIN = "admin", _("Admin")

    def includes(self, needed: str) -> bool:
        order = list(Role)
        return order.index(self) >= order.index(Role(needed))
