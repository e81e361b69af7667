"""Changing one resource of a stage while it goes on answering."""

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from console.api.base import Reference, ScopedViewSet
from console.api.endpoint_fields import ResourceSerializer
from endpoints import services
from endpoints.models import StageResource
from models_registry.models import Model

RESOURCE = OpenApiParameter("resource_id", str, OpenApiParameter.PATH)
URL_PATH = "resources/(?P<resource_id>[^/.]+)"


class ModelReplaceSerializer(serializers.Serializer):
    model = Reference(queryset=Model.objects.all(), help_text="the id of an ACTIVE model of the same algorithm")


class EnginesSerializer(serializers.Serializer):
    """What is left out stays as it is."""

    replicas = serializers.IntegerField(required=False, help_text="how many engines; 0: as many as pay on this host")
    batch_size = serializers.IntegerField(required=False, allow_null=True, help_text="null: as measured")
    batch_window_ms = serializers.FloatField(required=False, allow_null=True, help_text="null: as measured")


class ResourceActions(ScopedViewSet):
    """What is done to a resource of the stage {id}."""

    @extend_schema(request=ModelReplaceSerializer, parameters=[RESOURCE], responses={202: ResourceSerializer})
    @action(detail=True, methods=["post"], url_path=f"{URL_PATH}/model")
    def replace_model(self, request: Request, pk: str, resource_id: str) -> Response:
        """Serve another model under the same path. The present one answers until the other one does."""
        row = self._resource(resource_id)
        changed = services.resource_replace(resource=row, user=request.user, **self.body(ModelReplaceSerializer))
        return self._changed(changed, 202)

    @extend_schema(request=EnginesSerializer, parameters=[RESOURCE], responses=ResourceSerializer)
    @action(detail=True, methods=["patch"], url_path=URL_PATH)
    def configure_resource(self, request: Request, pk: str, resource_id: str) -> Response:
        """How many engines serve it, and how they batch. Another batch size or window is a new deployment."""
        row = self._resource(resource_id)
        present = {name: getattr(row, name) for name in ("replicas", "batch_size", "batch_window_ms")}
        values = present | self.body(EnginesSerializer)
        return self._changed(services.resource_configure(resource=row, user=request.user, **values))

    def _resource(self, pk: str) -> StageResource:
        row: StageResource | None = self.get_object().resources.filter(pk=pk).first()
        if row is None:
            raise NotFound
        return row

    def _changed(self, row: StageResource, status: int = 200) -> Response:
        return Response(ResourceSerializer(row, context=self.get_serializer_context()).data, status=status)
