"""One key of an endpoint, by its prefix. An endpoint lists its own and makes new ones: console/api/endpoints.py."""

from django.http import Http404
from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from console import access
from console.api.base import ScopedViewSet
from console.api.key_fields import KeyCreatedSerializer, KeyLimitSerializer, KeyRotateSerializer, KeySerializer
from endpoints import services
from endpoints.models import EndpointKey


class KeyViewSet(ScopedViewSet):
    queryset = EndpointKey.objects.select_related("endpoint")
    serializer_class = KeySerializer
    lookup_field = "prefix"
    lookup_url_kwarg = "id"

    def get_object(self) -> EndpointKey:
        """The row's own id holds the hash, so that the address has the prefix."""
        row = EndpointKey.objects.filter(prefix=self.kwargs["id"]).first()
        if row is None:
            raise Http404
        return access.load(self.request, EndpointKey, row.pk, role=self.role())

    def retrieve(self, request: Request, id: str) -> Response:
        return self.answer(self.get_object())

    @extend_schema(request=KeyLimitSerializer, responses=KeySerializer)
    def partial_update(self, request: Request, id: str) -> Response:
        """Change how many calls a minute it may make."""
        key = self.get_object()
        services.key_limit_set(key=key, user=request.user, **self.body(KeyLimitSerializer))
        return self.answer(key)

    def destroy(self, request: Request, id: str) -> Response:
        """Revoke the key: it is refused from now on."""
        services.key_revoke(key=self.get_object(), user=request.user)
        return Response(status=204)

    @extend_schema(request=KeyRotateSerializer, responses={201: KeyCreatedSerializer})
    @action(detail=True, methods=["post"])
    def rotate(self, request: Request, id: str) -> Response:
        """A new key of the same name and limit takes its place. Keep the `key` of the answer: it is shown this once."""
        key = self.get_object()
        new, plain = services.key_rotate(key=key, user=request.user, **self.body(KeyRotateSerializer))
        return Response(KeyCreatedSerializer(new, context={"key": plain}).data, status=201)
