"""Rollouts: trying a stage with the calls of an endpoint's own URL."""

from collections.abc import Callable
from typing import Any

from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from console.api.base import OwnedViewSet, Reference, ScopedViewSet, StoredMessage
from endpoints import services
from endpoints.models import Rollout, RolloutMode, Stage
from endpoints.rollout_figures import summary

MODE_HELP = "canary: it answers the calls; shadow: it gets copies of them, and nobody hears it"


class SideSerializer(serializers.Serializer):
    """The calls of one stage since the rollout began. Percentiles are milliseconds, null without calls."""

    calls = serializers.IntegerField()
    errors = serializers.IntegerField()  # type: ignore[assignment]
    error_percent = serializers.FloatField(allow_null=True)
    p50 = serializers.FloatField(allow_null=True)
    p95 = serializers.FloatField(allow_null=True)
    p99 = serializers.FloatField(allow_null=True)


class RolloutFiguresSerializer(serializers.Serializer):
    default = SideSerializer()
    candidate = SideSerializer()
    compared = serializers.IntegerField(help_text="answers to copies that were compared with the default stage's")
    agreed = serializers.IntegerField()
    agreed_percent = serializers.FloatField(allow_null=True)
    dropped = serializers.IntegerField(help_text="copies for which the stage was too slow")


class RolloutSerializer(serializers.ModelSerializer):
    stage_name = serializers.CharField(source="stage.name", read_only=True)
    status_reason = StoredMessage()
    created_by = serializers.CharField(source="created_by.username", default=None, allow_null=True, read_only=True)
    figures = serializers.SerializerMethodField()

    class Meta:
        model = Rollout
        fields = (
            "id", "endpoint", "stage", "stage_name", "mode", "share", "automatic", "min_calls", "max_error_percent",
            "max_p95_ms", "status", "status_reason", "figures", "created_by", "created_at", "updated_at",
        )  # fmt: skip

    @extend_schema_field(RolloutFiguresSerializer)
    def get_figures(self, rollout: Rollout) -> dict[str, Any]:
        return summary(rollout.figures)


class RolloutStartSerializer(serializers.Serializer):
    stage = Reference(queryset=Stage.objects.all(), help_text="the id of an ACTIVE stage that is not the default one")
    mode = serializers.ChoiceField(choices=RolloutMode.choices, help_text=MODE_HELP)
    share = serializers.IntegerField(help_text="percent of the calls, 1 to 100")
    automatic = serializers.BooleanField(required=False, help_text="promote it or roll it back by the rule below")
    min_calls = serializers.IntegerField(required=False, help_text="calls before it is decided; default 100")
    max_error_percent = serializers.FloatField(required=False, help_text="default 1.0")
    max_p95_ms = serializers.FloatField(required=False, allow_null=True, help_text="null, the default: any")


class RolloutActions(OwnedViewSet):
    """Calls of the viewset of endpoints."""

    @extend_schema(responses=RolloutSerializer(many=True), filters=False)
    @action(detail=True)
    def rollouts(self, request: Request, pk: str) -> Response:
        """Its rollouts, newest first. At most one is RUNNING."""
        rows = self.get_object().rollouts.select_related("stage", "created_by")
        return self.get_paginated_response(RolloutSerializer(self.paginate_queryset(rows), many=True).data)

    @extend_schema(request=RolloutStartSerializer, responses={201: RolloutSerializer})
    @rollouts.mapping.post
    def start_rollout(self, request: Request, pk: str) -> Response:
        """Try a stage with a share of the calls of the endpoint's own URL."""
        endpoint = self.get_object()
        made = services.rollout_start(endpoint=endpoint, user=request.user, **self.body(RolloutStartSerializer))
        return Response(RolloutSerializer(made).data, status=201)


class RolloutViewSet(ScopedViewSet):
    """One rollout; an endpoint lists its own."""

    queryset = Rollout.objects.select_related("stage", "created_by")
    serializer_class = RolloutSerializer

    def retrieve(self, request: Request, pk: str) -> Response:
        """Its figures are at most a second old."""
        return self.answer(self.get_object())

    @extend_schema(request=None, responses=RolloutSerializer)
    @action(detail=True, methods=["post"])
    def promote(self, request: Request, pk: str) -> Response:
        """Make its stage the default one, without a failed request."""
        return self._ended(services.rollout_promote)

    @extend_schema(request=None, responses=RolloutSerializer)
    @action(detail=True, methods=["post"], url_path="roll-back")
    def roll_back(self, request: Request, pk: str) -> Response:
        """Give its stage no more calls."""
        return self._ended(services.rollout_roll_back)

    @extend_schema(request=None, responses=RolloutSerializer)
    @action(detail=True, methods=["post"])
    def end(self, request: Request, pk: str) -> Response:
        """Give its stage no more calls, without a judgement."""
        return self._ended(services.rollout_end)

    def _ended(self, service: Callable[..., None]) -> Response:
        rollout = self.get_object()
        service(rollout=rollout, user=self.request.user)
        return self.answer(rollout)
