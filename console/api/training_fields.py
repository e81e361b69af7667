"""What a training looks like on the wire, and what may be sent to make one."""

from typing import Any

from django.conf import settings
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from console.addresses import absolute
from console.api.base import CreateSerializer, OwnedSerializer, Reference, StoredMessage
from console.templatetags.console import message
from training import algorithms, services, tensorboard
from training.models import Dataset, Event, Priority, Training
from training.services.training_fields import DEVICES, LONGEST_PATIENCE


class ProgressSerializer(serializers.Serializer):
    step = serializers.IntegerField()
    total_steps = serializers.IntegerField()
    epoch = serializers.FloatField()
    eta_seconds = serializers.FloatField(allow_null=True)


class WarningSerializer(serializers.Serializer):
    code = serializers.CharField()
    level = serializers.CharField(help_text="warning or info")
    message = serializers.CharField(help_text="in the language of the request")
    advice = serializers.CharField(help_text="what to do about it; empty when nothing is known")


PRIORITIES = {priority.name.lower(): priority for priority in Priority}  # on the wire a word: high, normal, low


class PriorityField(serializers.ChoiceField):
    """A word on the wire, the model's number inside."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(choices=[(word, word) for word in PRIORITIES], **kwargs)

    def to_internal_value(self, data: Any) -> Any:
        return PRIORITIES[super().to_internal_value(data)].value

    def to_representation(self, value: Any) -> str:
        return Priority(value).name.lower()


class PrioritySerializer(serializers.Serializer):
    priority = PriorityField()


class QueueSerializer(serializers.Serializer):
    position = serializers.IntegerField(help_text="1 is next")
    expected_start = serializers.DateTimeField(
        allow_null=True, help_text="about: from what runs and what similar trainings took; null when it is not known"
    )


class TrainingRowSerializer(OwnedSerializer):
    priority = PriorityField(read_only=True)
    progress = ProgressSerializer(source="*", read_only=True)

    class Meta:
        model = Training
        fields = (
            *OwnedSerializer.OWNED,
            "algorithm", "dataset", "dataset_name", "experiment", "priority", "progress", "started_at", "finished_at",
        )  # fmt: skip


class TrainingSerializer(TrainingRowSerializer):
    experiment_name = serializers.CharField(source="experiment.name", default=None, allow_null=True, read_only=True)
    hyperparameters = serializers.JSONField(read_only=True)
    phase = serializers.CharField(read_only=True, help_text="preparing, training, evaluating, testing or saving")
    queue = serializers.SerializerMethodField(help_text="null when it is not queued")
    queue_position = serializers.SerializerMethodField(help_text="1 is next; 0 when it is not queued")
    metrics = serializers.JSONField(read_only=True, help_text="the newest value of each")
    test_metrics = serializers.JSONField(read_only=True, allow_null=True)
    settings_used = serializers.JSONField(
        read_only=True, help_text="what the trainer chose: device, precision, batch size, initial weights"
    )
    warnings = serializers.SerializerMethodField()
    tensorboard_url = serializers.SerializerMethodField()

    class Meta:
        model = Training
        fields = (
            *TrainingRowSerializer.Meta.fields,
            "experiment_name", "hyperparameters", "initial_weights", "checkpoint", "device", "timeout_minutes",
            "early_stopping",
            "phase", "queue", "queue_position", "metrics", "test_metrics", "settings_used", "warnings", "attempts",
            "tensorboard_url",
        )  # fmt: skip

    def get_queue_position(self, training: Training) -> int:
        return services.training_position(training=training)

    @extend_schema_field(QueueSerializer(allow_null=True))
    def get_queue(self, training: Training) -> dict[str, Any] | None:
        place = services.training_places().get(training.pk) if training.status == "CREATE_REQUESTED" else None
        return QueueSerializer(place).data if place else None

    @extend_schema_field(WarningSerializer(many=True))
    def get_warnings(self, training: Training) -> list[dict[str, Any]]:
        return [
            {
                "code": row.get("code", ""),
                "level": row.get("level", "warning"),
                "message": message(row),
                "advice": message(row["advice"]) if row.get("advice") else "",
            }
            for row in training.warnings
        ]

    def get_tensorboard_url(self, training: Training) -> str:
        return absolute(self.context["request"], tensorboard.url(training))


class AsSent(serializers.JSONField):
    """Any JSON, NaN too: the specification refuses a wrong value by its name."""

    def to_internal_value(self, data: Any) -> Any:
        return data


class TrainingCreateSerializer(CreateSerializer):
    dataset = Reference(queryset=Dataset.objects.all(), help_text="the id of a READY dataset")
    algorithm = serializers.ChoiceField(
        choices=algorithms.CHOICES, required=False, help_text="Default: the dataset's. Another one is refused."
    )
    hyperparameters = AsSent(
        required=False, help_text='{"learning_rate": 0.001}: see algorithms/; each that is left out takes its default'
    )
    initial_weights = serializers.CharField(
        required=False, help_text="auto (default), pretrained, scratch, or the id of one of the project's models"
    )
    checkpoint = serializers.CharField(
        required=False,
        allow_blank=True,
        help_text="<training id>/checkpoint-<step>: start from its weights",
    )
    experiment = serializers.CharField(
        required=False,
        allow_blank=True,
        help_text="The id or the name of an experiment. A name that the project does not have yet makes one.",
    )
    device = serializers.ChoiceField(choices=[(device, device) for device in DEVICES], required=False)
    timeout_minutes = serializers.IntegerField(
        required=False, min_value=1, max_value=settings.LONGEST_TRAINING_MINUTES, help_text="Default: 1440"
    )
    early_stopping = serializers.IntegerField(
        required=False,
        min_value=0,
        max_value=LONGEST_PATIENCE,
        help_text="End after so many epochs without a better validation figure. Default: 0, never",
    )
    priority = PriorityField(required=False, help_text="Its place in the queue. Default: normal")


class SeriesSerializer(serializers.Serializer):
    series = serializers.DictField(
        child=serializers.ListField(child=serializers.ListField(child=serializers.FloatField())),
        help_text="{name: [[step, value], ...]}",
    )
    epochs = serializers.ListField(
        child=serializers.ListField(child=serializers.FloatField()), help_text="[[step, epoch], ...]"
    )


class EventSerializer(serializers.ModelSerializer):
    """`to_status` in lower case is something else that happened, for instance "deleted"."""

    reason = StoredMessage()
    actor = serializers.CharField(source="actor.username", default=None, allow_null=True, read_only=True)

    class Meta:
        model = Event
        fields = ("at", "from_status", "to_status", "reason", "actor")
