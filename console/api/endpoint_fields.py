"""What an endpoint and a stage look like on the wire, and what may be sent to make one."""

from rest_framework import serializers

from console.addresses import absolute
from console.api.base import CreateSerializer, OwnedSerializer, Reference, StoredMessage
from endpoints.models import Access, Endpoint, Stage, StageResource
from models_registry.models import Model

PATH_HELP = "where the model answers below the stage's URL; default /inference"


class ResourceSerializer(serializers.ModelSerializer):
    """One model of a stage. `url` is what to POST to."""

    model_name = serializers.CharField(source="model.name", read_only=True)
    settings = serializers.JSONField(read_only=True, help_text="what the engine chose: runtime, device, threads")
    ready = serializers.SerializerMethodField(help_text="how many engines answer now")
    serving = serializers.IntegerField(
        read_only=True, allow_null=True, help_text="the deployment that answers: `deployment`, once that is ready"
    )
    capacity = serializers.JSONField(read_only=True, help_text="images a second, p50 and p95 at 1, 4, 16, 64 callers")
    url = serializers.SerializerMethodField()

    class Meta:
        model = StageResource
        fields = (
            "id", "path", "model", "model_name", "next_model", "deployment", "serving", "ready",
            "replicas", "batch_size", "batch_window_ms", "settings", "capacity", "url",
        )  # fmt: skip

    def get_ready(self, resource: StageResource) -> int:
        return len(resource.sockets)

    def get_url(self, resource: StageResource) -> str:
        return absolute(self.context["request"], f"{resource.stage.path}{resource.path}")


class StageInEndpointSerializer(serializers.ModelSerializer):
    is_default = serializers.BooleanField(read_only=True)
    status_reason = StoredMessage()
    url = serializers.SerializerMethodField()
    resources = ResourceSerializer(many=True, read_only=True)

    class Meta:
        model = Stage
        fields = ("id", "name", "is_default", "status", "status_reason", "url", "resources")

    def get_url(self, stage: Stage) -> str:
        return absolute(self.context["request"], stage.path)


class StageSerializer(StageInEndpointSerializer):
    endpoint_name = serializers.CharField(source="endpoint.name", read_only=True)

    class Meta:
        model = Stage
        fields = (
            *StageInEndpointSerializer.Meta.fields,
            "endpoint", "endpoint_name", "description", "keep_images", "created_at", "updated_at",
        )  # fmt: skip


class EndpointRowSerializer(OwnedSerializer):
    url = serializers.SerializerMethodField(help_text="the default stage's")

    class Meta:
        model = Endpoint
        fields = (*OwnedSerializer.OWNED, "access", "url")

    def get_url(self, endpoint: Endpoint) -> str:
        return absolute(self.context["request"], endpoint.path)


class EndpointSerializer(EndpointRowSerializer):
    stages = StageInEndpointSerializer(many=True, read_only=True)

    class Meta:
        model = Endpoint
        fields = (*EndpointRowSerializer.Meta.fields, "stages")


class EndpointCreatedSerializer(EndpointSerializer):
    """The answer to POST alone has the key: only its hash is stored."""

    key = serializers.SerializerMethodField(help_text='shown this once; "" when access is open')

    class Meta:
        model = Endpoint
        fields = (*EndpointSerializer.Meta.fields, "key")

    def get_key(self, endpoint: Endpoint) -> str:
        return str(self.context["key"])


class EndpointCreateSerializer(CreateSerializer):
    model = Reference(queryset=Model.objects.all(), help_text="the id of an ACTIVE model")
    access = serializers.ChoiceField(choices=Access.choices, required=False, help_text="default: key")
    resource_path = serializers.CharField(required=False, help_text=PATH_HELP)


class StageCreateSerializer(serializers.Serializer):
    name = serializers.CharField(help_text="lowercase letters and digits, at most 30")
    description = serializers.CharField(required=False, allow_blank=True)
    model = Reference(queryset=Model.objects.all(), help_text="the id of an ACTIVE model")
    resource_path = serializers.CharField(required=False, help_text=PATH_HELP)


class ResourceAddSerializer(serializers.Serializer):
    model = Reference(queryset=Model.objects.all(), help_text="the id of an ACTIVE model")
    path = serializers.CharField(help_text="a path that the stage does not use yet")


class DefaultStageSerializer(serializers.Serializer):
    stage = Reference(queryset=Stage.objects.all(), help_text="the id of one of the endpoint's ACTIVE stages")
