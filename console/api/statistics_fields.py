"""What the figures and the recent requests of a stage look like on the wire."""

from typing import Any

from rest_framework import serializers
from rest_framework.reverse import reverse

from endpoints.figures import PERIODS
from endpoints.models import RequestRecord


class CountsSerializer(serializers.Serializer):
    """The calls of a span of time. Percentiles are milliseconds, null without calls."""

    calls = serializers.IntegerField()
    succeeded = serializers.IntegerField()
    client_errors = serializers.IntegerField()
    server_errors = serializers.IntegerField()
    bytes_in = serializers.IntegerField()
    bytes_out = serializers.IntegerField()
    p50 = serializers.FloatField(allow_null=True)
    p95 = serializers.FloatField(allow_null=True)
    p99 = serializers.FloatField(allow_null=True)
    batch_size = serializers.FloatField(
        allow_null=True, help_text="mean number of images that were computed together; null when unknown"
    )


class MinuteSerializer(CountsSerializer):
    minute = serializers.DateTimeField(help_text="when the minute, or the step of the range, begins")


class CallSerializer(serializers.ModelSerializer):
    image = serializers.SerializerMethodField(help_text='the address of its kept image; "" for none')

    class Meta:
        model = RequestRecord
        fields = (
            "at", "path", "status", "milliseconds", "bytes_in", "bytes_out", "batch_size", "key_prefix", "error",
            "image",
        )  # fmt: skip

    def get_image(self, row: RequestRecord) -> str:
        if not row.image:
            return ""
        return reverse("api-stage-image", args=[row.stage_id, row.pk], request=self.context.get("request"))


class StatisticsSerializer(CountsSerializer):
    since = serializers.DateTimeField()
    until = serializers.DateTimeField()
    step_seconds = serializers.IntegerField(help_text="what a row of `minutes` stands for")
    minutes = MinuteSerializer(many=True)
    requests = CallSerializer(many=True, help_text="the newest calls, newest first")


class StatisticsQuerySerializer(serializers.Serializer):
    range = serializers.ChoiceField(
        choices=list(PERIODS),
        required=False,
        help_text="the last hour by the minute, day by 15 minutes, week by the hour, 90 days by the day",
    )
    hours = serializers.IntegerField(
        min_value=1,
        max_value=24 * 30,
        default=1,
        help_text="without `range`: the last so many hours, by the minute",
    )

    def chosen(self) -> dict[str, Any]:
        """The arguments of `stage_statistics`. Raises ValidationError."""
        self.is_valid(raise_exception=True)
        values: dict[str, Any] = self.validated_data
        return {"hours": int(values["hours"]), "period": values.get("range", "")}


class KeepImagesSerializer(serializers.Serializer):
    keep_images = serializers.BooleanField(help_text="keep small copies of the images of the newest requests")
