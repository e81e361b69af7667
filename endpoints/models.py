"""A model behind a URL: endpoints, their stages, the resources of a stage, keys and statistics."""

from django.db import models
from django.utils.translation import gettext_lazy as _
from rest_framework_api_key.models import AbstractAPIKey

from models_registry.models import Model
from training.models import Owned, Status, new_id


class EndpointStatus(Status):
    CREATE_REQUESTED = "CREATE_REQUESTED", _("CREATE REQUESTED")
    CREATE_IN_PROGRESS = "CREATE_IN_PROGRESS", _("CREATE IN PROGRESS")
    UPDATE_IN_PROGRESS = "UPDATE_IN_PROGRESS", _("UPDATE IN PROGRESS")
    ACTIVE = "ACTIVE", _("ACTIVE")
    CREATE_FAILED = "CREATE_FAILED", _("CREATE FAILED")
    UPDATE_FAILED = "UPDATE_FAILED", _("UPDATE FAILED")
    DELETE_IN_PROGRESS = "DELETE_IN_PROGRESS", _("DELETE IN PROGRESS")


class StageStatus(Status):
    CREATE_REQUESTED = "CREATE_REQUESTED", _("CREATE REQUESTED")
    DEPLOY_IN_PROGRESS = "DEPLOY_IN_PROGRESS", _("DEPLOY IN PROGRESS")
    ACTIVE = "ACTIVE", _("ACTIVE")
    DEPLOY_FAILED = "DEPLOY_FAILED", _("DEPLOY FAILED")
    DELETE_IN_PROGRESS = "DELETE_IN_PROGRESS", _("DELETE IN PROGRESS")


class Access(models.TextChoices):
    KEY = "key", _("Key")
    OPEN = "open", _("Open")


class Endpoint(Owned):
    """Its status is derived from its stages by `services.endpoint_refresh`, and stored so that lists can sort."""

    Status = EndpointStatus
    TRANSITIONS = {
        "CREATE_REQUESTED": {"CREATE_IN_PROGRESS", "ACTIVE", "CREATE_FAILED", "DELETE_IN_PROGRESS"},
        "CREATE_IN_PROGRESS": {"ACTIVE", "CREATE_FAILED", "DELETE_IN_PROGRESS"},
        "UPDATE_IN_PROGRESS": {"ACTIVE", "UPDATE_FAILED", "DELETE_IN_PROGRESS"},
        "ACTIVE": {"UPDATE_IN_PROGRESS", "UPDATE_FAILED", "DELETE_IN_PROGRESS"},
        "CREATE_FAILED": {"CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS", "ACTIVE", "DELETE_IN_PROGRESS"},
        "UPDATE_FAILED": {"UPDATE_IN_PROGRESS", "ACTIVE", "DELETE_IN_PROGRESS"},
    }
    status = models.CharField(max_length=24, choices=EndpointStatus.choices, default=EndpointStatus.CREATE_REQUESTED)
    access = models.CharField(_("access"), max_length=8, choices=Access.choices, default=Access.KEY)
    default_stage = models.ForeignKey("Stage", null=True, on_delete=models.SET_NULL, related_name="+")

    @property
    def path(self) -> str:
        return f"/stage/{self.pk}"


class Stage(models.Model):
    Status = StageStatus
    TRANSITIONS = {
        "CREATE_REQUESTED": {"DEPLOY_IN_PROGRESS", "DEPLOY_FAILED", "DELETE_IN_PROGRESS"},
        "DEPLOY_IN_PROGRESS": {"ACTIVE", "DEPLOY_FAILED", "DELETE_IN_PROGRESS"},
        "ACTIVE": {"DEPLOY_IN_PROGRESS", "DEPLOY_FAILED", "DELETE_IN_PROGRESS"},
        "DEPLOY_FAILED": {"DEPLOY_IN_PROGRESS", "DELETE_IN_PROGRESS"},
    }
    id = models.CharField(primary_key=True, max_length=20, default=new_id, editable=False)
    endpoint = models.ForeignKey(Endpoint, on_delete=models.CASCADE, related_name="stages")
    name = models.CharField(_("name"), max_length=30)
    description = models.CharField(_("description"), max_length=255, blank=True)
    status = models.CharField(max_length=24, choices=StageStatus.choices, default=StageStatus.CREATE_REQUESTED)
    status_reason = models.JSONField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["created_at"]
        constraints = [models.UniqueConstraint(fields=["endpoint", "name"], name="stage_name_unique_in_endpoint")]

    def __str__(self) -> str:
        return self.name

    @property
    def project_id(self) -> str:
        return self.endpoint.project_id

    @property
    def path(self) -> str:
        return f"{self.endpoint.path}/{self.name}"

    @property
    def is_default(self) -> bool:
        return self.endpoint.default_stage_id == self.pk


class StageResource(models.Model):
    """One model of a stage, under its own path. One engine process serves it."""

    id = models.CharField(primary_key=True, max_length=20, default=new_id, editable=False)
    stage = models.ForeignKey(Stage, on_delete=models.CASCADE, related_name="resources")
    model = models.ForeignKey(Model, on_delete=models.PROTECT, related_name="resources")
    path = models.CharField(_("resource path"), max_length=100, default="/inference")
    settings = models.JSONField(default=dict, help_text="what the engine chose: runtime, device, threads")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["created_at"]
        constraints = [models.UniqueConstraint(fields=["stage", "path"], name="resource_path_unique_in_stage")]

    def __str__(self) -> str:
        return self.path


class EndpointKey(AbstractAPIKey):
    """A key of an endpoint. Only its hash is stored; the key itself is shown once."""

    endpoint = models.ForeignKey(Endpoint, on_delete=models.CASCADE, related_name="keys")
    last_used_at = models.DateTimeField(null=True, blank=True)

    class Meta(AbstractAPIKey.Meta):
        verbose_name = _("endpoint key")  # type: ignore[assignment]
        verbose_name_plural = _("endpoint keys")  # type: ignore[assignment]


class StageMinute(models.Model):
    """The calls of one stage in one minute. `latencies` is a histogram: {upper bound in ms: calls}."""

    stage = models.ForeignKey(Stage, on_delete=models.CASCADE, related_name="minutes")
    minute = models.DateTimeField()
    calls = models.PositiveIntegerField(default=0)
    succeeded = models.PositiveIntegerField(default=0)
    client_errors = models.PositiveIntegerField(default=0)
    server_errors = models.PositiveIntegerField(default=0)
    bytes_in = models.BigIntegerField(default=0)
    bytes_out = models.BigIntegerField(default=0)
    latencies = models.JSONField(default=dict)

    class Meta:
        ordering = ["minute"]
        constraints = [models.UniqueConstraint(fields=["stage", "minute"], name="one_row_a_stage_a_minute")]

    def __str__(self) -> str:
        return f"{self.stage_id}@{self.minute}"


class RequestRecord(models.Model):
    """One recent call of a stage: never its image. Only the newest are kept."""

    stage = models.ForeignKey(Stage, on_delete=models.CASCADE, related_name="requests")
    at = models.DateTimeField(db_index=True)
    path = models.CharField(max_length=120)
    status = models.PositiveSmallIntegerField()
    milliseconds = models.FloatField()
    bytes_in = models.BigIntegerField(default=0)
    key_prefix = models.CharField(max_length=8, blank=True)
    error = models.CharField(max_length=200, blank=True)

    class Meta:
        ordering = ["-at"]

    def __str__(self) -> str:
        return f"{self.at} {self.status}"
