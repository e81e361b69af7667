"""Endpoints, their stages and their keys."""

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.decorators import action
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from console.api.base import OwnedViewSet
from console.api.endpoint_fields import (
    DefaultStageSerializer,
    EndpointCreatedSerializer,
    EndpointCreateSerializer,
    EndpointRowSerializer,
    EndpointSerializer,
    ResourceAddSerializer,
    ResourceSerializer,
    StageCreateSerializer,
    StageSerializer,
)
from console.api.key_fields import KeyCreatedSerializer, KeyCreateSerializer, KeySerializer
from console.api.resources import ResourceActions
from console.api.rollouts import RolloutActions
from console.api.statistics import StatisticsActions
from console.api.statistics_fields import KeepImagesSerializer
from endpoints import services
from endpoints.models import Endpoint, EndpointKey, Stage


class EndpointViewSet(RolloutActions):
    """Endpoints of a project, newest first."""

    queryset = Endpoint.objects.select_related("created_by")
    serializer_class = EndpointSerializer
    row_serializer_class = EndpointRowSerializer
    filters = {"status": "status", "access": "access", "model": "stages__resources__model"}
    ordering_fields = (*OwnedViewSet.ordering_fields, "access")

    def filter_queryset(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return super().filter_queryset(queryset).distinct()  # two stages may serve the model that is filtered by

    @extend_schema(request=EndpointCreateSerializer, responses={201: EndpointCreatedSerializer})
    def create(self, request: Request) -> Response:
        """Make an endpoint with its default stage. Keep the `key` of the answer: it is shown this once."""
        body = self.body(EndpointCreateSerializer)
        project = self.project_for(body, refers_to=body["model"])
        endpoint, key = services.endpoint_create(project=project, user=request.user, **body)
        context = {**self.get_serializer_context(), "key": key}
        return Response(EndpointCreatedSerializer(endpoint, context=context).data, status=201)

    def destroy(self, request: Request, pk: str) -> Response:
        """Undeploys the default stage; 409 names other stages, which have to be deleted first."""
        services.endpoint_delete(endpoint=self.get_object(), user=request.user)
        return Response(status=204)

    @extend_schema(request=StageCreateSerializer, responses={201: StageSerializer})
    @action(detail=True, methods=["post"])
    def stages(self, request: Request, pk: str) -> Response:
        """Add a stage with one model."""
        endpoint = self.get_object()
        stage = services.stage_create(endpoint=endpoint, user=request.user, **self.body(StageCreateSerializer))
        return Response(StageSerializer(stage, context=self.get_serializer_context()).data, status=201)

    @extend_schema(request=DefaultStageSerializer, responses=EndpointSerializer)
    @action(detail=True, methods=["post"], url_path="default-stage")
    def default_stage(self, request: Request, pk: str) -> Response:
        """Point the endpoint's own URL at another of its stages, without a failed request."""
        endpoint = self.get_object()
        stage = self.body(DefaultStageSerializer)["stage"]
        services.endpoint_set_default(endpoint=endpoint, stage=stage, user=request.user)
        return self.answer(endpoint)

    @extend_schema(responses=KeySerializer(many=True), filters=False)
    @action(detail=True)
    def keys(self, request: Request, pk: str) -> Response:
        """Its keys, newest first; never the keys themselves."""
        page = self.paginate_queryset(self.get_object().keys.order_by("-created"))
        return self.get_paginated_response(KeySerializer(page, many=True).data)

    @extend_schema(request=KeyCreateSerializer, responses={201: KeyCreatedSerializer})
    @keys.mapping.post
    def create_key(self, request: Request, pk: str) -> Response:
        """Make another key. Keep the `key` of the answer: it is shown this once."""
        endpoint = self.get_object()
        row, key = services.key_create(endpoint=endpoint, user=request.user, **self.body(KeyCreateSerializer))
        return Response(KeyCreatedSerializer(row, context={"key": key}).data, status=201)

    @extend_schema(parameters=[OpenApiParameter("key_id", str, OpenApiParameter.PATH)], responses={204: None})
    @action(detail=True, methods=["delete"], url_path="keys/(?P<key_id>[^/.]+)")
    def revoke_key(self, request: Request, pk: str, key_id: str) -> Response:
        """Revoke a key: it is refused from now on."""
        key = EndpointKey.objects.filter(endpoint=self.get_object(), prefix=key_id).first()
        if key is None:
            raise NotFound
        services.key_revoke(key=key, user=request.user)
        return Response(status=204)


class StageViewSet(ResourceActions, StatisticsActions):
    """One stage; an endpoint lists its own."""

    queryset = Stage.objects.all()
    serializer_class = StageSerializer

    def retrieve(self, request: Request, pk: str) -> Response:
        return self.answer(self.get_object())

    @extend_schema(request=KeepImagesSerializer, responses=StageSerializer)
    def partial_update(self, request: Request, pk: str) -> Response:
        """Switch the keeping of images on, or off, which removes those that are kept."""
        stage = self.get_object()
        keep = self.body(KeepImagesSerializer)["keep_images"]
        services.stage_keep_images(stage=stage, user=request.user, keep=keep)
        return self.answer(stage)

    def destroy(self, request: Request, pk: str) -> Response:
        """Undeploy and delete. 409 for the default stage."""
        services.stage_delete(stage=self.get_object(), user=request.user)
        return Response(status=204)

    @extend_schema(request=ResourceAddSerializer, responses={201: ResourceSerializer})
    @action(detail=True, methods=["post"])
    def resources(self, request: Request, pk: str) -> Response:
        """Serve a second model on the stage, under a path of its own."""
        stage = self.get_object()
        resource = services.resource_add(stage=stage, user=request.user, **self.body(ResourceAddSerializer))
        return Response(ResourceSerializer(resource, context=self.get_serializer_context()).data, status=201)

    @extend_schema(
        request=None,
        parameters=[OpenApiParameter("resource_id", str, OpenApiParameter.PATH)],
        responses={202: ResourceSerializer},
    )
    @action(detail=True, methods=["post"], url_path="resources/(?P<resource_id>[^/.]+)/measure")
    def measure(self, request: Request, pk: str, resource_id: str) -> Response:
        """Measure the resource's capacity again. `capacity` of the stage's resources changes once that is done."""
        resource = self.get_object().resources.filter(pk=resource_id).first()
        if resource is None:
            raise NotFound
        services.capacity_measure(resource=resource, user=request.user)
        return Response(ResourceSerializer(resource, context=self.get_serializer_context()).data, status=202)

    @extend_schema(request=None, responses=StageSerializer)
    @action(detail=True, methods=["post"])
    def redeploy(self, request: Request, pk: str) -> Response:
        """Deploy it anew: new engines take over from those that answer, without a failed call."""
        stage = self.get_object()
        services.stage_redeploy(stage=stage, user=request.user)
        return self.answer(stage)
