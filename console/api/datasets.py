"""Datasets: upload of a zip, its report and its counts."""

from typing import Any

from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from console.api.base import CreateSerializer, OwnedSerializer, OwnedViewSet
from console.api.imports import ImportCalls
from console.api.parsers import JSON
from console.templatetags.console import message
from training import algorithms, services
from training.models import Dataset


class ProblemSerializer(serializers.Serializer):
    """One thing found in the zip. `file` is its path inside, "" for the whole zip; `files` are all that it concerns.

    `mend` is the mend that repairs it (see `POST datasets/{id}/mend/`), "" when only a person can.
    """

    code = serializers.CharField()
    level = serializers.ChoiceField(choices=["error", "warning", "fact"])
    file = serializers.CharField()
    message = serializers.CharField(help_text="in the language of the request")
    files = serializers.ListField(child=serializers.CharField(), help_text="at most 20")
    mend = serializers.CharField()


class DatasetRowSerializer(OwnedSerializer):
    class Meta:
        model = Dataset
        fields = (*OwnedSerializer.OWNED, "algorithm", "images", "disk_bytes", "version", "based_on")


class DatasetSerializer(OwnedSerializer):
    report = serializers.SerializerMethodField()
    counts = serializers.JSONField(read_only=True, help_text="{split: {class name: images or objects}}")
    images = serializers.JSONField(read_only=True, help_text="{split: number of images}")
    labels = serializers.JSONField(read_only=True, help_text='[{"id": 0, "name": "cat"}, ...]')
    mends = serializers.ListField(child=serializers.CharField(), read_only=True, help_text="that made this version")
    mends_offered = serializers.SerializerMethodField()
    can_check = serializers.SerializerMethodField(help_text="whether `POST datasets/{id}/check/` would check it again")
    progress = serializers.JSONField(read_only=True, help_text='{"phase", "done", "total"} while it is checked')

    class Meta:
        model = Dataset
        fields = (
            *DatasetRowSerializer.Meta.fields,
            "report",
            "counts",
            "labels",
            "progress",
            "zip_bytes",
            "zip_sha256",
            "source",
            "mends",
            "mends_offered",
            "can_check",
        )

    @extend_schema_field(ProblemSerializer(many=True))
    def get_report(self, dataset: Dataset) -> list[dict[str, Any]]:
        stable = ("code", "level", "file")
        added = {"files": [], "mend": ""}  # reports of earlier consoles have neither
        return [
            {
                **{key: row[key] for key in stable},
                "message": message(row),
                **{k: row.get(k, v) for k, v in added.items()},
            }
            for row in dataset.report
        ]

    def get_mends_offered(self, dataset: Dataset) -> list[str]:
        return services.dataset_mends(dataset)

    def get_can_check(self, dataset: Dataset) -> bool:
        return services.dataset_can_check(dataset)


class MendSerializer(serializers.Serializer):
    mends = serializers.ListField(child=serializers.CharField(), help_text="some of `mends_offered`")


class DatasetCreateSerializer(CreateSerializer):
    algorithm = serializers.ChoiceField(choices=algorithms.CHOICES)
    file = serializers.FileField(help_text="the zip", allow_empty_file=True)  # ingest says what is wrong with it


class DatasetViewSet(ImportCalls):
    """Datasets of a project, newest first."""

    queryset = Dataset.objects.select_related("created_by")
    serializer_class = DatasetSerializer
    row_serializer_class = DatasetRowSerializer
    parser_classes = (MultiPartParser,)
    filters = {"status": "status", "algorithm": "algorithm"}
    ordering_fields = (*OwnedViewSet.ordering_fields, "algorithm", "disk_bytes")

    @extend_schema(request={"multipart/form-data": DatasetCreateSerializer}, responses={201: DatasetSerializer})
    def create(self, request: Request) -> Response:
        """Upload a zip. It is checked in the background: ask for the dataset until it is READY or INVALID."""
        body = self.body(DatasetCreateSerializer)
        project = self.project_for(body)
        return self.answer(services.dataset_create(project=project, user=request.user, **body), status=201)

    @extend_schema(request=MendSerializer, responses={201: DatasetSerializer})
    @action(detail=True, methods=["post"], parser_classes=[JSON])
    def mend(self, request: Request, pk: str) -> Response:
        """Make a new version of the dataset, with these mends. It is checked in the background, as an upload is."""
        made = services.dataset_mend(dataset=self.get_object(), user=request.user, **self.body(MendSerializer))
        return self.answer(made, status=201)

    @extend_schema(request=None, responses=DatasetSerializer)
    @action(detail=True, methods=["post"])
    def check(self, request: Request, pk: str) -> Response:
        """Check an INVALID dataset again that the console failed at (a full disk, a crash). 409 when its zip failed."""
        dataset = self.get_object()
        services.dataset_check(dataset=dataset, user=request.user)
        return self.answer(dataset)

    def destroy(self, request: Request, pk: str) -> Response:
        """409 names the running trainings that are in the way."""
        services.dataset_delete(dataset=self.get_object(), user=request.user)
        return Response(status=204)
