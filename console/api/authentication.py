"""Who is calling: `Authorization: Bearer <token>`. Tokens are knox's: only their hash is stored."""

from typing import Any

from django.utils.translation import gettext_lazy as _
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from knox.auth import TokenAuthentication
from rest_framework.exceptions import AuthenticationFailed


class BearerAuthentication(TokenAuthentication):
    def authenticate_credentials(self, token: bytes) -> Any:
        """-> (user, AuthToken). knox assumes UTF-8; a header of any other bytes is a wrong token too."""
        try:
            token.decode()
        except UnicodeDecodeError as error:
            raise AuthenticationFailed(_("Invalid token.")) from error
        return super().authenticate_credentials(token)


class BearerScheme(OpenApiAuthenticationExtension):
    """Tells the OpenAPI document how to send the token. Found by being defined."""

    target_class = BearerAuthentication
    name = "token"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "description": "manage.py console_token prints one."}
