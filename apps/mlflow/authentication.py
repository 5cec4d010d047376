"""How MLflow's client shows a Fathom token: as a bearer token, or as the password of basic authentication."""

import base64
import binascii

from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.request import Request
from typing_extensions import override

from apps.accounts import services as accounts
from apps.accounts.authentication import bearer
from apps.accounts.models import ApiToken, User
from apps.core.errors import NotAuthenticated

CHALLENGE = 'Basic realm="fathom", Bearer realm="fathom"'
_LONGEST = 1_000


def token_of(header: bytes) -> str | None:
    """Return the token of an Authorization header, None for another scheme. Raises: NotAuthenticated when ill-formed.

    With MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD the token is the password; the name counts nothing.
    """
    scheme, _, value = header.partition(b" ")
    if scheme.lower() != b"basic":
        return bearer(header)
    try:
        text = base64.b64decode(value.strip()[:_LONGEST], validate=True).decode("ascii")
    except (binascii.Error, UnicodeDecodeError):
        msg = "The Authorization header is ill-formed."
        raise NotAuthenticated(msg) from None
    return text.partition(":")[2]


class WireAuthentication(BaseAuthentication):
    @override
    def authenticate(self, request: Request) -> tuple[User, ApiToken | None] | None:
        value = token_of(get_authorization_header(request))
        if value is None:
            return None
        user = accounts.authenticate_token(value)
        return user, user.token

    @override
    def authenticate_header(self, request: Request) -> str:
        return CHALLENGE
