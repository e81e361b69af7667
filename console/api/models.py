"""Models: made of a COMPLETE training, with their files and the report of the export."""

from pathlib import PurePosixPath

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from console.api.base import CreateSerializer, OwnedSerializer, OwnedViewSet, Reference
from console.downloads import Archive
from models_registry import services
from models_registry.models import Model
from training.models import Training


class ModelFileSerializer(serializers.Serializer):
    name = serializers.CharField()
    bytes = serializers.IntegerField()
    sha256 = serializers.CharField()


class ModelRowSerializer(OwnedSerializer):
    training_name = serializers.CharField(source="training.name", read_only=True)

    class Meta:
        model = Model
        fields = (*OwnedSerializer.OWNED, "training", "training_name", "algorithm", "disk_bytes")


class ModelSerializer(ModelRowSerializer):
    format = serializers.SerializerMethodField(help_text="the formats in which the weights are stored")
    labels = serializers.JSONField(read_only=True, help_text='[{"id": 0, "name": "cat"}, ...]')
    metrics = serializers.JSONField(read_only=True)
    test_metrics = serializers.JSONField(read_only=True, allow_null=True)
    files = ModelFileSerializer(many=True, read_only=True)
    export_report = serializers.JSONField(
        read_only=True, allow_null=True, help_text="how far the ONNX export's answers are from PyTorch's"
    )

    class Meta:
        model = Model
        fields = (
            *ModelRowSerializer.Meta.fields,
            "format", "labels", "metrics", "test_metrics", "files", "export_report",
        )  # fmt: skip

    def get_format(self, model: Model) -> list[str]:
        suffixes = {PurePosixPath(file["name"]).suffix.removeprefix(".") for file in model.files}
        return sorted(suffixes & {"onnx", "safetensors"})


class ModelCreateSerializer(CreateSerializer):
    training = Reference(queryset=Training.objects.all(), help_text="the id of a COMPLETE training")


class ModelViewSet(OwnedViewSet):
    """Models of a project, newest first."""

    queryset = Model.objects.select_related("created_by", "training")
    serializer_class = ModelSerializer
    row_serializer_class = ModelRowSerializer
    filters = {"status": "status", "algorithm": "algorithm", "training": "training"}
    ordering_fields = (*OwnedViewSet.ordering_fields, "algorithm", "disk_bytes")

    @extend_schema(request=ModelCreateSerializer, responses={201: ModelSerializer})
    def create(self, request: Request) -> Response:
        """Make a model. It is exported in the background: ask for it until it is ACTIVE or CREATE_FAILED."""
        body = self.body(ModelCreateSerializer)
        project = self.project_for(body, refers_to=body["training"])
        return self.answer(services.model_create(project=project, user=request.user, **body), status=201)

    def destroy(self, request: Request, pk: str) -> Response:
        """409 names the stages that serve it."""
        services.model_delete(model=self.get_object(), user=request.user)
        return Response(status=204)

    @extend_schema(responses={(200, "application/zip"): OpenApiTypes.BINARY})
    @action(detail=True)
    def download(self, request: Request, pk: str) -> Archive:
        """All of its files as one archive."""
        model = self.get_object()
        return Archive(services.model_archive(model), f"{model.name}.zip")
