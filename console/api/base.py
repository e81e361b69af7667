"""What the calls of every area share: the person's projects, the common fields, list and retrieve."""

from collections.abc import Mapping
from typing import Any, ClassVar

from django.db.models import Model, QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from drf_spectacular.utils import extend_schema_field
from rest_framework import mixins, serializers, viewsets
from rest_framework.exceptions import ValidationError
from rest_framework.filters import BaseFilterBackend, SearchFilter
from rest_framework.request import Request
from rest_framework.response import Response

from console import access
from console.api.filters import FieldFilter, Ordering, Pages
from console.templatetags.console import message
from training.models import Membership, Project, Role


@extend_schema_field(str)
class StoredMessage(serializers.Field):
    """A stored Message (status_reason, a warning) as a sentence in the request's language; "" for none."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(read_only=True, **kwargs)

    def get_attribute(self, instance: Any) -> Any:
        return super().get_attribute(instance) or {}  # None would skip to_representation

    def to_representation(self, value: Any) -> str:
        return message(value)


class Reference(serializers.PrimaryKeyRelatedField):
    """The id of an object in one of the person's projects."""

    default_error_messages = {"does_not_exist": gettext_lazy("There is no {pk_value} in your projects.")}

    def get_queryset(self) -> QuerySet[Any]:
        rows = super().get_queryset()
        assert rows is not None  # every Reference is made with a queryset
        return access.mine(self.context["request"], rows.model)


class OwnedSerializer(serializers.ModelSerializer):
    """The fields that everything in a project has."""

    status_reason = StoredMessage()
    created_by = serializers.CharField(source="created_by.username", default=None, allow_null=True, read_only=True)

    OWNED: ClassVar = (
        "id", "project", "name", "description", "status", "status_reason", "created_by", "created_at", "updated_at",
    )  # fmt: skip


class CreateSerializer(serializers.Serializer):
    """What a body that makes something may hold. Lengths and uniqueness are the service's business."""

    project = Reference(
        queryset=Project.objects.all(),
        required=False,
        help_text="Default: the project of what the body refers to, else your first one.",
    )
    name = serializers.CharField()
    description = serializers.CharField(required=False, allow_blank=True)


class ProjectFilter(BaseFilterBackend):
    """A list shows one project: that of `?project=`, else the person's first. Raises Http404 for someone else's."""

    def filter_queryset(self, request: Request, queryset: QuerySet[Any], view: Any) -> QuerySet[Any]:
        pk = request.query_params.get("project") or first_project(request)
        return queryset.filter(project=access.load(request, Project, pk)) if pk else queryset.none()

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        text = "The id of one of your projects. Default: your first one."
        return [{"name": "project", "in": "query", "description": text, "schema": {"type": "string"}}]


class ScopedViewSet(viewsets.GenericViewSet):
    """Calls on objects in the person's projects: the outsider gets 404, a viewer who wants to change one 403."""

    pagination_class = Pages
    filter_backends: tuple[type[BaseFilterBackend], ...] = (FieldFilter, SearchFilter, Ordering)
    filters: Mapping[str, str] = {}
    search_fields: tuple[str, ...] = ("name", "description")
    ordering_fields: tuple[str, ...] = ("name", "status", "created_at", "updated_at")

    def role(self) -> str:
        return Role.VIEWER if self.request.method in ("GET", "HEAD", "OPTIONS") else Role.EDITOR

    def get_object(self) -> Any:
        return access.load(self.request, self.get_queryset().model, self.kwargs["pk"], role=self.role())

    def body(self, serializer: type[serializers.Serializer[Any]]) -> dict[str, Any]:
        """The checked body. Raises ValidationError with every wrong field."""
        checked = serializer(data=self.request.data, context=self.get_serializer_context())
        checked.is_valid(raise_exception=True)
        return dict(checked.validated_data)

    def project_for(self, body: dict[str, Any], refers_to: Any = None) -> Project:
        """Take `project` out of the body: where to create. Raises Http404, PermissionDenied or ValidationError."""
        named = body.pop("project", None)
        pk = named.pk if named else self.request.query_params.get("project")
        if not pk:
            pk = refers_to.project_id if refers_to is not None else first_project(self.request)
        if not pk:
            raise ValidationError({"project": [_("You are not a member of any project.")]})
        return access.load(self.request, Project, pk, role=self.role())

    def answer(self, obj: Model, status: int = 200) -> Response:
        """The object in full, as a GET of it would show it."""
        return Response(self.get_serializer_class()(obj, context=self.get_serializer_context()).data, status=status)


class OwnedViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, ScopedViewSet):
    """List and retrieve of a kind of object that projects own. A list may show less: `row_serializer_class`."""

    filter_backends = (ProjectFilter, FieldFilter, SearchFilter, Ordering)
    row_serializer_class: type[serializers.BaseSerializer[Any]] | None = None

    def get_serializer_class(self) -> type[serializers.BaseSerializer[Any]]:
        if self.action == "list" and self.row_serializer_class:
            return self.row_serializer_class
        return super().get_serializer_class()


def first_project(request: Request) -> str | None:
    """The id of the project that a call means when it names none."""
    rows = Membership.objects.filter(user=access.person(request)).order_by("project__created_at", "project")
    return rows.values_list("project", flat=True).first()
