"""Everything under /api/v1/. An unknown path answers in the API's own error shape."""

from django.urls import URLPattern, URLResolver, re_path
from rest_framework.decorators import api_view

from console.api.errors import not_found

urlpatterns: list[URLPattern | URLResolver] = [
    re_path(r"", api_view(["GET", "POST", "PUT", "PATCH", "DELETE"])(not_found)),
]
