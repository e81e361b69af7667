"""A model behind a URL: endpoints, their stages, the resources of a stage, keys and statistics."""

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _
from rest_framework_api_key.models import AbstractAPIKey

from models_registry.models import Model
from training.models import Event, Owned, Status, new_id


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
    keep_images = models.BooleanField(_("keep the images of recent requests"), default=False)
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

    def events(self) -> "models.QuerySet[Event]":
        return Event.objects.filter(kind=self._meta.model_name, object_id=self.pk)


class StageResource(models.Model):
    """One model of a stage, under its own path. One engine process serves it, or several that share its calls."""

    id = models.CharField(primary_key=True, max_length=20, default=new_id, editable=False)
    stage = models.ForeignKey(Stage, on_delete=models.CASCADE, related_name="resources")
    model = models.ForeignKey(Model, on_delete=models.PROTECT, related_name="resources")
    next_model = models.ForeignKey(
        Model,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="coming_resources",
        help_text="deployed now",
    )
    path = models.CharField(_("resource path"), max_length=100, default="/inference")
    replicas = models.PositiveSmallIntegerField(_("replicas"), default=0, help_text="0: as many as pay on this host")
    batch_size = models.PositiveSmallIntegerField(_("batch size"), null=True, blank=True, help_text="null: as measured")
    batch_window_ms = models.FloatField(_("batch window (ms)"), null=True, blank=True, help_text="null: as measured")
    deployment = models.PositiveIntegerField(default=1, help_text="counted up when it is to be deployed anew")
    settings = models.JSONField(default=dict, help_text="what the engine chose: runtime, device, threads")
    sockets = models.JSONField(default=list, help_text="file names of the ready engines' sockets")
    capacity = models.JSONField(default=dict, help_text="the capacity card: docs/contracts.md")
    capacity_requested_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["created_at"]
        constraints = [models.UniqueConstraint(fields=["stage", "path"], name="resource_path_unique_in_stage")]

    def __str__(self) -> str:
        return self.path

    @property
    def serving(self) -> int | None:
        """The deployment that answers, or answered last; 0: of a console that did not count them yet."""
        return self.settings.get("deployment", 0) if self.settings else None


class EndpointKey(AbstractAPIKey):
    """A key of an endpoint. Only its hash is stored; the key itself is shown once."""

    endpoint = models.ForeignKey(Endpoint, on_delete=models.CASCADE, related_name="keys")
    last_used_at = models.DateTimeField(null=True, blank=True)
    calls_per_minute = models.PositiveIntegerField(_("calls per minute"), null=True, blank=True, help_text="null: any")

    class Meta(AbstractAPIKey.Meta):
        verbose_name = _("endpoint key")  # type: ignore[assignment]
        verbose_name_plural = _("endpoint keys")  # type: ignore[assignment]


class Figures(models.Model):
    """Sums over the calls of some time. `latencies` is a histogram: {upper bound in ms: calls}.

    `batch_total` / `batch_calls` is the mean size of the batch that a call was computed in.
    """

    calls = models.PositiveIntegerField(default=0)
    succeeded = models.PositiveIntegerField(default=0)
    client_errors = models.PositiveIntegerField(default=0)
    server_errors = models.PositiveIntegerField(default=0)
    bytes_in = models.BigIntegerField(default=0)
    bytes_out = models.BigIntegerField(default=0)
    batch_total = models.PositiveIntegerField(default=0)
    batch_calls = models.PositiveIntegerField(default=0)
    latencies = models.JSONField(default=dict)

    class Meta:
        abstract = True


class StageMinute(Figures):
    """The calls of one stage in one minute."""

    stage = models.ForeignKey(Stage, on_delete=models.CASCADE, related_name="minutes")
    minute = models.DateTimeField()

    class Meta:
        ordering = ["minute"]
        constraints = [models.UniqueConstraint(fields=["stage", "minute"], name="one_row_a_stage_a_minute")]

    def __str__(self) -> str:
        return f"{self.stage_id}@{self.minute}"


class StageHour(Figures):
    """The same of one hour: what charts of days and weeks are drawn from."""

    stage = models.ForeignKey(Stage, on_delete=models.CASCADE, related_name="hours")
    hour = models.DateTimeField()

    class Meta:
        ordering = ["hour"]
        constraints = [models.UniqueConstraint(fields=["stage", "hour"], name="one_row_a_stage_an_hour")]

    def __str__(self) -> str:
        return f"{self.stage_id}@{self.hour}"


class RequestRecord(models.Model):
    """One recent call of a stage. Only the newest are kept; an image only where the stage opts in.

    `image` is a file name below the stage's folder of kept images, "" for none.
    """

    stage = models.ForeignKey(Stage, on_delete=models.CASCADE, related_name="requests")
    at = models.DateTimeField(db_index=True)
    path = models.CharField(max_length=120)
    status = models.PositiveSmallIntegerField()
    milliseconds = models.FloatField()
    bytes_in = models.BigIntegerField(default=0)
    bytes_out = models.BigIntegerField(default=0)
    batch_size = models.PositiveSmallIntegerField(null=True, blank=True)
    image = models.CharField(max_length=80, blank=True)
    key_prefix = models.CharField(max_length=8, blank=True)
    error = models.CharField(max_length=200, blank=True)

    class Meta:
        ordering = ["-at"]

    def __str__(self) -> str:
        return f"{self.at} {self.status}"


class RolloutMode(models.TextChoices):
    CANARY = "canary", _("Canary")
    SHADOW = "shadow", _("Shadow")


class RolloutStatus(Status):
    RUNNING = "RUNNING", _("RUNNING")
    PROMOTED = "PROMOTED", _("PROMOTED")
    ROLLED_BACK = "ROLLED_BACK", _("ROLLED BACK")
    ENDED = "ENDED", _("ENDED")


class Rollout(models.Model):
    """A stage beside the default one is tried with the calls of the endpoint's own URL.

    canary: it answers `share` percent of them. shadow: it gets a copy of `share` percent of them, and what it says is
    compared with the answer that the caller got. `figures` is counted since the start: docs/contracts.md.
    """

    Status = RolloutStatus
    TRANSITIONS = {"RUNNING": {"PROMOTED", "ROLLED_BACK", "ENDED"}}
    id = models.CharField(primary_key=True, max_length=20, default=new_id, editable=False)
    endpoint = models.ForeignKey(Endpoint, on_delete=models.CASCADE, related_name="rollouts")
    stage = models.ForeignKey(Stage, on_delete=models.CASCADE, related_name="rollouts")
    mode = models.CharField(_("mode"), max_length=8, choices=RolloutMode.choices)
    share = models.PositiveSmallIntegerField(_("share of the calls (%)"))
    automatic = models.BooleanField(_("promote by itself"), default=False)
    min_calls = models.PositiveIntegerField(_("calls before it is decided"), default=100)
    max_error_percent = models.FloatField(_("highest error rate (%)"), default=1.0)
    max_p95_ms = models.FloatField(_("highest p95 (ms)"), null=True, blank=True)
    status = models.CharField(max_length=16, choices=RolloutStatus.choices, default=RolloutStatus.RUNNING)
    status_reason = models.JSONField(null=True, blank=True, editable=False)
    figures = models.JSONField(default=dict)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, editable=False, on_delete=models.SET_NULL, related_name="+"
    )

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["endpoint"], condition=models.Q(status="RUNNING"), name="one_running_rollout_an_endpoint"
            )
        ]

    def __str__(self) -> str:
        return f"{self.name}:{self.mode}"

    @property
    def name(self) -> str:
        return self.stage.name

    @property
    def project_id(self) -> str:
        return self.endpoint.project_id
