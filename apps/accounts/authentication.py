"""Bearer tokens for the API. Sessions stay with DRF's own class, which checks CSRF."""

from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.request import Request
from typing_extensions import override

from apps.accounts import services
from apps.accounts.models import ApiToken, User
from apps.core.errors import NotAuthenticated


def bearer(header: bytes) -> str | None:
    """Return the token of an Authorization header, None for another scheme. Raises: NotAuthenticated when ill-formed."""
    scheme, _, value = header.partition(b" ")
    if scheme.lower() != b"bearer":
        return None
    try:
        return value.strip().decode("ascii")
    except UnicodeDecodeError:
        msg = "The token is not ASCII."
        raise NotAuthenticated(msg) from None


class TokenAuthentication(BaseAuthentication):
    @override
    def authenticate(self, request: Request) -> tuple[User, ApiToken | None] | None:
        value = bearer(get_authorization_header(request))
        if value is None:
            return None
        user = services.authenticate_token(value)
        return user, user.token

    @override
    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="fathom"'
