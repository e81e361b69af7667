"""Who is calling: `Authorization: Bearer <token>`. Tokens are knox's: only their hash is stored."""

from typing import Any

from django.utils.translation import gettext_lazy as _
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
