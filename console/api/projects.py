"""The person's projects."""

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema_field
from rest_framework import mixins, serializers

from console import access
from console.api.base import ScopedViewSet
from training.models import Project, Role


class ProjectSerializer(serializers.ModelSerializer):
    role = serializers.SerializerMethodField()

    class Meta:
        model = Project
        fields = ("id", "name", "description", "role", "created_at")

    @extend_schema_field(serializers.ChoiceField(choices=Role.choices))
    def get_role(self, project: Project) -> str:
        return project.memberships.get(user=self.context["request"].user).role


class ProjectViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, ScopedViewSet):
    """The projects that you are a member of. `?project=<id>` of the other lists takes one of these ids."""

    queryset = Project.objects.order_by("created_at", "id")
    serializer_class = ProjectSerializer
    ordering_fields = ("name", "created_at")

    def get_queryset(self) -> QuerySet[Any]:
        return access.mine(self.request, Project).order_by("created_at", "id")
