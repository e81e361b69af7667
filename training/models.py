"""Projects and what they own up to a finished training."""

import secrets
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from training import algorithms
from training.statuses import DatasetStatus, ExperimentStatus, Priority, Role, Status, TrainingStatus

__all__ = ["DatasetStatus", "ExperimentStatus", "Priority", "Role", "Status", "TrainingStatus"]  # beside the models


def new_id() -> str:
    """A random string id of 80 bits: ids are strings for every client, and none can be guessed."""
    return secrets.token_hex(10)


def new_appkey() -> str:
    return secrets.token_urlsafe(16)


class Project(models.Model):
    id = models.CharField(primary_key=True, max_length=20, default=new_id, editable=False)
    name = models.CharField(_("name"), max_length=50, unique=True)
    description = models.CharField(_("description"), max_length=255, blank=True)
    appkey = models.CharField(max_length=32, default=new_appkey, unique=True, editable=False)
    members = models.ManyToManyField(settings.AUTH_USER_MODEL, through="Membership", related_name="projects")
    retention = models.JSONField(
        default=dict, blank=True, help_text='days that ended trainings keep each: {"logs": 90, "checkpoints": null}'
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["created_at"]

    def __str__(self) -> str:
        return self.name


class Membership(models.Model):
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="memberships")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(_("role"), max_length=10, choices=Role.choices, default=Role.EDITOR)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["project", "user"], name="one_membership_a_person")]

    def __str__(self) -> str:
        return f"{self.user} ({self.role}) in {self.project}"


class Owned(models.Model):
    """What every resource of a project has: id, name, description, status, its reason, who and when."""

    TRANSITIONS: dict[str, set[str]] = {}

    id = models.CharField(primary_key=True, max_length=20, default=new_id, editable=False)
    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="%(class)ss")
    name = models.CharField(_("name"), max_length=50)
    description = models.CharField(_("description"), max_length=255, blank=True)
    status_reason = models.JSONField(null=True, blank=True, editable=False)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+", editable=False
    )
    created_at = models.DateTimeField(auto_now_add=True, db_index=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        abstract = True
        ordering = ["-created_at"]
        constraints = [models.UniqueConstraint(fields=["project", "name"], name="%(class)s_name_unique_in_project")]

    def __str__(self) -> str:
        return self.name

    def events(self) -> "models.QuerySet[Event]":
        return Event.objects.filter(kind=self._meta.model_name, object_id=self.pk)


class Dataset(Owned):
    Status = DatasetStatus
    TRANSITIONS = {
        "UPLOADING": {"VALIDATING", "INVALID", "DELETE_IN_PROGRESS"},
        "VALIDATING": {"READY", "INVALID", "DELETE_IN_PROGRESS"},
        "READY": {"DELETE_IN_PROGRESS"},
        "INVALID": {"VALIDATING", "DELETE_IN_PROGRESS"},
    }
    status = models.CharField(max_length=24, choices=DatasetStatus.choices, default=DatasetStatus.UPLOADING)
    algorithm = models.CharField(_("algorithm"), max_length=40, choices=algorithms.CHOICES)
    report = models.JSONField(default=list, blank=True, help_text="list of Problem.as_json()")
    counts = models.JSONField(default=dict, blank=True, help_text="{split: {class name: images or objects}}")
    images = models.JSONField(default=dict, blank=True, help_text="{split: number of images}")
    labels = models.JSONField(default=list, blank=True, help_text='[{"id": 0, "name": "cat"}, ...]')
    progress = models.JSONField(default=dict, blank=True, help_text='{"phase", "done", "total"} while validating')
    zip_bytes = models.BigIntegerField(default=0)
    zip_sha256 = models.CharField(max_length=64, blank=True)
    disk_bytes = models.BigIntegerField(default=0)
    source = models.JSONField(default=dict, blank=True, help_text='{"kind": "upload|folder|s3|sample|mend", ...}')
    version = models.PositiveIntegerField(default=1)
    based_on = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.SET_NULL, related_name="successors", help_text="mended from it"
    )
    mends = models.JSONField(default=list, blank=True, help_text="codes of the mends that made this version")

    @property
    def folder(self) -> Path:
        return Path(settings.CONSOLE_HOME) / "datasets" / str(self.pk)

    @property
    def upload_path(self) -> Path:
        return self.folder / "upload.zip"

    @property
    def data_folder(self) -> Path:
        """The normalised dataset that trainings read: see docs/contracts.md."""
        return self.folder / "data"


class Experiment(Owned):
    Status = ExperimentStatus
    status = models.CharField(max_length=24, choices=ExperimentStatus.choices, default=ExperimentStatus.ACTIVE)


class Training(Owned):
    Status = TrainingStatus
    TRANSITIONS = {
        "CREATE_REQUESTED": {"CREATE_IN_PROGRESS", "STOPPED", "CREATE_FAILED"},
        "CREATE_IN_PROGRESS": {"RUNNING", "STOP_IN_PROGRESS", "CREATE_FAILED", "FAIL_TRAIN", "CREATE_REQUESTED"},
        "RUNNING": {"COMPLETE_IN_PROGRESS", "STOP_IN_PROGRESS", "FAIL_TRAIN", "CREATE_REQUESTED"},
        "STOP_IN_PROGRESS": {"STOPPED", "COMPLETE_IN_PROGRESS", "COMPLETE", "FAIL_TRAIN"},
        "COMPLETE_IN_PROGRESS": {"COMPLETE", "FAIL_TRAIN", "STOP_IN_PROGRESS", "CREATE_REQUESTED"},
        "STOPPED": {"CREATE_REQUESTED"},
        "FAIL_TRAIN": {"CREATE_REQUESTED"},
        "CREATE_FAILED": {"CREATE_REQUESTED"},
    }
    UNFINISHED = (
        "CREATE_REQUESTED",
        "CREATE_IN_PROGRESS",
        "RUNNING",
        "STOP_IN_PROGRESS",
        "COMPLETE_IN_PROGRESS",
    )
    STOPPABLE = ("CREATE_REQUESTED", "CREATE_IN_PROGRESS", "RUNNING", "COMPLETE_IN_PROGRESS")
    RESUMABLE = ("STOPPED", "FAIL_TRAIN", "CREATE_FAILED")

    status = models.CharField(max_length=24, choices=TrainingStatus.choices, default=TrainingStatus.CREATE_REQUESTED)
    experiment = models.ForeignKey(
        Experiment, null=True, blank=True, on_delete=models.PROTECT, related_name="trainings"
    )
    dataset = models.ForeignKey(Dataset, null=True, on_delete=models.SET_NULL, related_name="trainings")
    dataset_name = models.CharField(max_length=50, help_text="stays when the dataset is deleted")
    algorithm = models.CharField(_("algorithm"), max_length=40, choices=algorithms.CHOICES)
    hyperparameters = models.JSONField(default=dict)
    initial_weights = models.CharField(
        max_length=40, default="auto", help_text="auto, pretrained, scratch, or the id of a model of this project"
    )
    checkpoint = models.CharField(
        max_length=80, blank=True, help_text='"<training id>/checkpoint-<step>" whose weights this one starts from'
    )
    weights_folder = models.CharField(
        max_length=255, blank=True, help_text="Hugging Face folder, relative to CONSOLE_HOME, that the two above name"
    )
    device = models.CharField(max_length=10, default="auto", help_text="auto, cpu or cuda")
    timeout_minutes = models.PositiveIntegerField(default=1440)
    priority = models.SmallIntegerField(_("priority"), choices=Priority.choices, default=Priority.NORMAL)
    early_stopping = models.PositiveIntegerField(
        default=0, help_text="epochs without a better validation figure after which it ends; 0: never"
    )

    step = models.PositiveIntegerField(default=0)
    total_steps = models.PositiveIntegerField(default=0)
    epoch = models.FloatField(default=0)
    eta_seconds = models.FloatField(null=True, blank=True)
    phase = models.CharField(max_length=20, blank=True)
    metrics = models.JSONField(default=dict, help_text="the newest value of each validation metric and loss")
    test_metrics = models.JSONField(null=True, blank=True)
    settings_used = models.JSONField(default=dict, help_text="what the trainer chose: device, precision, batch size")
    warnings = models.JSONField(default=list, help_text="list of {text, params, code}")
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    run_seconds = models.FloatField(default=0, help_text="time trained in earlier attempts; counts against the maximum")

    attempts = models.PositiveIntegerField(default=0, help_text="automatic resumes so far")
    events_offset = models.BigIntegerField(default=0, help_text="bytes of events.jsonl that are in the database")
    host = models.CharField(max_length=80, blank=True, help_text="where `pid` is: several hosts may run trainers")
    pid = models.IntegerField(null=True, blank=True)
    pid_started = models.FloatField(null=True, blank=True, help_text="the process's start time: a pid alone is reused")
    lease_owner = models.CharField(max_length=80, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True, help_text="a runner that lives renews it")

    @property
    def folder(self) -> Path:
        return Path(settings.CONSOLE_HOME) / "trainings" / str(self.pk)

    @property
    def log_path(self) -> Path:
        return self.folder / "train.log"

    @property
    def checkpoints_folder(self) -> Path:
        return self.folder / "checkpoints"

    @property
    def spec(self) -> Any:
        return algorithms.get(self.algorithm)


class MetricPoint(models.Model):
    """One value of one series of a training: what the charts and `GET metrics/` show."""

    training = models.ForeignKey(Training, on_delete=models.CASCADE, related_name="points")
    name = models.CharField(max_length=120)
    step = models.PositiveIntegerField()
    epoch = models.FloatField()
    value = models.FloatField()

    class Meta:
        ordering = ["step"]
        constraints = [models.UniqueConstraint(fields=["training", "name", "step"], name="one_point_a_step")]

    def __str__(self) -> str:
        return f"{self.name}@{self.step}={self.value}"


class Event(models.Model):
    """Who did what to which object, when and why. Outlives the object: it is the audit log."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="events")
    kind = models.CharField(max_length=30)
    object_id = models.CharField(max_length=20)
    object_name = models.CharField(max_length=50, blank=True)
    at = models.DateTimeField(auto_now_add=True, db_index=True)
    from_status = models.CharField(max_length=24, blank=True)
    to_status = models.CharField(max_length=24)
    reason = models.JSONField(null=True, blank=True)
    actor = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")

    class Meta:
        ordering = ["-at", "-id"]
        indexes = [models.Index(fields=["kind", "object_id"])]

    def __str__(self) -> str:
        return f"{self.kind} {self.object_id}: {self.to_status}"
