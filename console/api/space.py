"""What uses the disk."""

from dataclasses import asdict

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from console import access, space
from console.api.base import first_project
from training.models import Project


class FreedSerializer(serializers.Serializer):
    freed_bytes = serializers.IntegerField()


class DiskSerializer(serializers.Serializer):
    """Bytes of the disk that the console's files are on."""

    total = serializers.IntegerField()
    used = serializers.IntegerField()
    free = serializers.IntegerField()
    low = serializers.BooleanField(help_text="less is free than DISK_LOW_BYTES")


class PartSerializer(serializers.Serializer):
    """What one object holds of one kind."""

    kind = serializers.ChoiceField(choices=space.KINDS)
    owner = serializers.ChoiceField(choices=["dataset", "training", "model", "endpoint"])
    id = serializers.CharField()
    name = serializers.CharField()
    bytes = serializers.IntegerField()
    removable = serializers.BooleanField(help_text="checkpoints that `DELETE trainings/{id}/checkpoints/` removes")


class SpaceSerializer(serializers.Serializer):
    disk = DiskSerializer()
    kinds = serializers.DictField(child=serializers.IntegerField(), help_text="{kind: bytes} of this project")
    largest = PartSerializer(many=True)


class SpaceView(APIView):
    """What the project holds of the disk, by kind, and its largest objects."""

    @extend_schema(
        responses=SpaceSerializer,
        parameters=[OpenApiParameter("project", str, description="One of your projects. Default: your first.")],
    )
    def get(self, request: Request) -> Response:
        """Measured now, or up to half a minute ago when it takes long."""
        pk = request.query_params.get("project") or first_project(request)
        if not pk:
            raise NotFound
        found = space.measure(access.load(request, Project, pk))
        body = {"disk": asdict(space.disk()), "kinds": found.kinds, "largest": [asdict(part) for part in found.largest]}
        return Response(SpaceSerializer(body).data)
