"""What every list understands: `?page=&page_size=`, `?search=`, `?ordering=` and its own filters."""

from typing import Any

from django.core.exceptions import FieldDoesNotExist
from django.db.models import QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from rest_framework.exceptions import ValidationError
from rest_framework.filters import BaseFilterBackend, OrderingFilter
from rest_framework.pagination import PageNumberPagination
from rest_framework.request import Request


class Pages(PageNumberPagination):
    page_size = 20
    page_size_query_param = "page_size"
    max_page_size = 200
    invalid_page_message = gettext_lazy(  # type: ignore[assignment]
        "There is no such page: give a whole number from 1 to the last page."
    )


class Ordering(OrderingFilter):
    """DRF's, but a field that cannot be sorted by is refused instead of ignored."""

    def remove_invalid_fields(self, queryset: Any, fields: Any, view: Any, request: Any) -> list[str]:
        known = [name for name, _label in self.get_valid_fields(queryset, view, {"request": request})]
        for field in fields:
            if field.removeprefix("-") not in known:
                raise ValidationError({"ordering": [_("Choose one of: %(known)s.") % {"known": ", ".join(known)}]})
        return list(fields)


class FieldFilter(BaseFilterBackend):
    """`?status=RUNNING&status=COMPLETE&dataset=<id>`: the view's `filters` map a parameter to the field it compares."""

    def filter_queryset(self, request: Request, queryset: QuerySet[Any], view: Any) -> QuerySet[Any]:
        for parameter, field in view.filters.items():
            wanted = request.query_params.getlist(parameter)
            if not wanted:
                continue
            choices = _choices(queryset, field)
            if choices and not set(wanted) <= set(choices):
                text = _("Choose one of: %(known)s.") % {"known": ", ".join(choices)}
                raise ValidationError({parameter: [text]})
            queryset = queryset.filter(**{f"{field}__in": wanted})
        return queryset

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        return [
            {
                "name": parameter,
                "in": "query",
                "required": False,
                "description": "May be given more than once.",
                "schema": {"type": "array", "items": {"type": "string"}},
            }
            for parameter in view.filters
        ]


def _choices(queryset: QuerySet[Any], field: str) -> list[str]:
    """The values that a field with choices may have; [] for any other field, or one of a related object."""
    try:
        found = queryset.model._meta.get_field(field)
    except FieldDoesNotExist:
        return []
    return [str(value) for value, _label in getattr(found, "choices", None) or []]
