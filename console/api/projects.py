"""The person's projects."""

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import mixins, serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from console import access
from console.api.base import ScopedViewSet
from training import services
from training.models import Project, Role
from training.retention import MOST_DAYS, cleaned


def _days() -> serializers.IntegerField:
    return serializers.IntegerField(min_value=1, max_value=MOST_DAYS, allow_null=True, default=None)


class RetentionSerializer(serializers.Serializer):
    """Days after the end of a training; null: for ever."""

    logs = _days()
    tensorboard = _days()
    checkpoints = _days()


class ProjectSerializer(serializers.ModelSerializer):
    role = serializers.SerializerMethodField()
    retention = serializers.SerializerMethodField()

    class Meta:
        model = Project
        fields = ("id", "name", "description", "role", "retention", "created_at")

    @extend_schema_field(RetentionSerializer)
    def get_retention(self, project: Project) -> dict[str, int | None]:
        return cleaned(project.retention)

    @extend_schema_field(serializers.ChoiceField(choices=Role.choices))
    def get_role(self, project: Project) -> str:
        return project.memberships.get(user=self.context["request"].user).role


class ProjectViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, ScopedViewSet):
    """The projects that you are a member of. `?project=<id>` of the other lists takes one of these ids."""

    queryset = Project.objects.order_by("created_at", "id")
    serializer_class = ProjectSerializer
    ordering_fields = ("name", "created_at")

    @extend_schema(request=RetentionSerializer, responses=ProjectSerializer)
    @action(detail=True, methods=["put"])
    def retention(self, request: Request, pk: str) -> Response:
        """How many days ended trainings keep logs, TensorBoard and checkpoints; null: for ever. For admins."""
        project = access.load(request, Project, pk, Role.ADMIN)
        services.project_retention_set(project=project, user=request.user, **self.body(RetentionSerializer))
        return self.answer(project)

    def get_queryset(self) -> QuerySet[Any]:
        return access.mine(self.request, Project).order_by("created_at", "id")
