"""Datasets from a folder of the server or from S3-compatible storage."""

from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from console import access, imports
from console.api.base import CreateSerializer, OwnedViewSet
from console.api.parsers import JSON
from training import algorithms, services, sources
from training.models import Membership, Role


class SourceSerializer(serializers.Serializer):
    kind = serializers.ChoiceField(choices=list(sources.KINDS))
    where = serializers.CharField(
        allow_blank=True, trim_whitespace=False, help_text="an absolute path, or a key or prefix of the bucket"
    )


class DatasetImportSerializer(CreateSerializer):
    name = serializers.CharField(required=False, help_text="Default: that of the folder or the zip.")
    algorithm = serializers.ChoiceField(choices=algorithms.CHOICES)
    source = SourceSerializer()  # type: ignore[assignment]  # a field of this name hides nothing: DRF takes it off


class EntrySerializer(serializers.Serializer):
    name = serializers.CharField()
    where = serializers.CharField()
    folder = serializers.BooleanField(help_text="else a zip")
    size = serializers.IntegerField(help_text="bytes; 0 for a folder")


class ListingSerializer(serializers.Serializer):
    kinds = serializers.ListField(child=serializers.CharField(), help_text="what this console has set up")
    problem = serializers.CharField(help_text='why nothing is listed, or ""')
    entries = EntrySerializer(many=True)


class ImportCalls(OwnedViewSet):
    """`datasets/import/`: a part of the datasets' calls."""

    @extend_schema(
        methods=["GET"],
        parameters=[OpenApiParameter("kind", enum=list(sources.KINDS)), OpenApiParameter("where")],
        responses=ListingSerializer,
        filters=False,
    )
    @extend_schema(methods=["POST"], request=DatasetImportSerializer)
    @action(detail=False, methods=["get", "post"], url_path="import", url_name="import", parser_classes=[JSON])
    def import_from(self, request: Request) -> Response:
        """GET: the folders and zips of a place. POST: copy one and check it, in the background."""
        if request.method == "GET":
            return Response(self._listing(request))
        body = self.body(DatasetImportSerializer)
        project = self.project_for(body)
        made = services.dataset_import(project=project, user=request.user, name=body.pop("name", ""), **body)
        return self.answer(made, status=201)

    def _listing(self, request: Request) -> dict[str, Any]:
        """For those who may import, editors of any project; the others have nothing to import from."""
        roles = Membership.objects.filter(user=access.person(request)).values_list("role", flat=True)
        kinds = sources.available() if any(Role(role).includes(Role.EDITOR) for role in roles) else []
        empty = {"entries": [], "problem": ""}
        kind = request.query_params.get("kind", kinds[0] if kinds else "")
        shown = imports.browse(kind, request.query_params.get("where", "")) if kinds else empty
        return dict(ListingSerializer({"kinds": kinds, **shown}).data)
