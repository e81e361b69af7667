"""A model: an immutable copy of what a COMPLETE training made, ready to be served."""

from pathlib import Path

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from training import algorithms
from training.models import Owned, Status, Training


class ModelStatus(Status):
    CREATE_REQUESTED = "CREATE_REQUESTED", _("CREATE REQUESTED")
    CREATE_IN_PROGRESS = "CREATE_IN_PROGRESS", _("CREATE IN PROGRESS")
    ACTIVE = "ACTIVE", _("ACTIVE")
    CREATE_FAILED = "CREATE_FAILED", _("CREATE FAILED")
    DELETE_IN_PROGRESS = "DELETE_IN_PROGRESS", _("DELETE IN PROGRESS")


class Model(Owned):
    Status = ModelStatus
    TRANSITIONS = {
        "CREATE_REQUESTED": {"CREATE_IN_PROGRESS", "CREATE_FAILED", "DELETE_IN_PROGRESS"},
        "CREATE_IN_PROGRESS": {"ACTIVE", "CREATE_FAILED", "CREATE_REQUESTED"},
        "ACTIVE": {"DELETE_IN_PROGRESS"},
        "CREATE_FAILED": {"DELETE_IN_PROGRESS"},
    }
    status = models.CharField(max_length=24, choices=ModelStatus.choices, default=ModelStatus.CREATE_REQUESTED)
    training = models.ForeignKey(Training, on_delete=models.PROTECT, related_name="models")
    algorithm = models.CharField(_("algorithm"), max_length=40, choices=algorithms.CHOICES)
    labels = models.JSONField(default=list, help_text='[{"id": 0, "name": "cat"}, ...]')
    metrics = models.JSONField(default=dict)
    test_metrics = models.JSONField(null=True, blank=True)
    files = models.JSONField(default=list, help_text='[{"name", "bytes", "sha256"}, ...]')
    export_report = models.JSONField(
        null=True, blank=True, help_text="parity of the ONNX export with PyTorch: see docs/contracts.md"
    )
    disk_bytes = models.BigIntegerField(default=0)
    attempts = models.PositiveIntegerField(default=0, help_text="builds that were begun, a shut-down worker's left out")
    lease_until = models.DateTimeField(null=True, blank=True)

    @property
    def folder(self) -> Path:
        return Path(settings.CONSOLE_HOME) / "models" / str(self.pk)
