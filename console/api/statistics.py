"""What a stage did: its figures, its recent requests, and their images where it keeps them."""

from django.http import HttpResponse
from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from console.api.base import ScopedViewSet
from console.api.statistics_fields import CallSerializer, StatisticsQuerySerializer, StatisticsSerializer
from console.request_images import image_of
from endpoints import records, services

STATUS = OpenApiParameter("status", str, enum=list(records.CLASSES), description="Only calls of that class of status.")


class StatisticsActions(ScopedViewSet):
    """Calls of the viewset of stages."""

    @extend_schema(parameters=[StatisticsQuerySerializer], responses=StatisticsSerializer)
    @action(detail=True)
    def statistics(self, request: Request, pk: str) -> Response:
        """Calls, errors, latencies, bytes and batches of a range, and by its steps; the newest calls."""
        chosen = StatisticsQuerySerializer(data=request.query_params).chosen()
        stage = self.get_object()
        figures = services.stage_statistics(stage, **chosen)
        return Response(StatisticsSerializer(figures, context=self.get_serializer_context()).data)

    @extend_schema(parameters=[STATUS], responses=CallSerializer(many=True), filters=False)
    @action(detail=True)
    def requests(self, request: Request, pk: str) -> Response:
        """The calls that are kept one by one, newest first."""
        stage, wanted = self.get_object(), request.query_params.get("status", "")
        if wanted and wanted not in records.CLASSES:
            text = _("Choose one of: %(known)s.") % {"known": ", ".join(records.CLASSES)}
            raise ValidationError({"status": [text]})
        page = self.paginate_queryset(records.recent(stage, wanted))
        rows = CallSerializer(page, many=True, context=self.get_serializer_context())
        return self.get_paginated_response(rows.data)

    @extend_schema(
        parameters=[OpenApiParameter("request_id", int, OpenApiParameter.PATH)],
        responses={(200, "image/jpeg"): OpenApiTypes.BINARY},
    )
    @action(detail=True, url_path=r"requests/(?P<request_id>\d{1,18})/image")
    def image(self, request: Request, pk: str, request_id: str) -> HttpResponse:
        """The small copy of its image that was kept."""
        return image_of(self.get_object(), int(request_id))
