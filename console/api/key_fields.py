"""What a key of an endpoint looks like on the wire, and what may be sent to make, change or rotate one."""

from datetime import timedelta

from rest_framework import serializers

from endpoints.models import EndpointKey
from endpoints.services.keys import LONGEST_GRACE


class KeySerializer(serializers.ModelSerializer):
    """A key is known by its prefix, the part before its dot. The row's own id holds the hash, so it stays inside."""

    id = serializers.CharField(source="prefix", read_only=True)
    created_at = serializers.DateTimeField(source="created", read_only=True)
    expires_at = serializers.DateTimeField(source="expiry_date", read_only=True, help_text="null: never")

    class Meta:
        model = EndpointKey
        fields = ("id", "name", "created_at", "expires_at", "calls_per_minute", "last_used_at", "revoked")


class KeyCreatedSerializer(KeySerializer):
    key = serializers.SerializerMethodField(help_text="shown this once")

    class Meta:
        model = EndpointKey
        fields = (*KeySerializer.Meta.fields, "key")

    def get_key(self, row: EndpointKey) -> str:
        return str(self.context["key"])


class KeyLimitSerializer(serializers.Serializer):
    calls_per_minute = serializers.IntegerField(allow_null=True, help_text="null: any number")


class KeyCreateSerializer(serializers.Serializer):
    name = serializers.CharField()
    expires_at = serializers.DateTimeField(required=False, allow_null=True, help_text="null, the default: never")
    calls_per_minute = serializers.IntegerField(
        required=False, allow_null=True, help_text="null, the default: any number"
    )


class KeyRotateSerializer(serializers.Serializer):
    grace_seconds = serializers.IntegerField(
        min_value=0,
        max_value=int(LONGEST_GRACE.total_seconds()),
        required=False,
        help_text="how long the old key stays valid; 0, the default: it is refused at once",
    )

    def validate(self, values: dict[str, int]) -> dict[str, timedelta]:
        return {"grace": timedelta(seconds=values.get("grace_seconds", 0))}
