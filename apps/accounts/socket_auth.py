"""Who opens a websocket: the bearer of a token, or a browser's session that comes from our own origin."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import structlog
from channels.auth import get_user
from channels.db import database_sync_to_async
from channels.sessions import SessionMiddlewareStack
from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.contrib.sessions.backends.db import SessionStore

from apps.accounts import services
from apps.accounts.acting import acting
from apps.accounts.authentication import bearer
from apps.accounts.models import User
from apps.core.errors import NotAuthenticated
from apps.core.ids import new_id
from apps.core.middleware import RequestContext, current_request

Application = Callable[[dict[str, Any], Any, Any], Awaitable[None]]


class SocketAuth:
    """Puts `user` into the scope: anonymous unless proven otherwise."""

    def __init__(self, app: Application) -> None:
        self.app = app

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        headers = dict(scope["headers"])
        ip = (scope.get("client") or (None,))[0]
        current_request.set(RequestContext(str(new_id()), ip, "websocket"))
        structlog.contextvars.bind_contextvars(request_id=current_request.get().request_id)
        scope["user"] = await _user(scope, headers)
        await self.app(scope, receive, send)


async def _user(scope: dict[str, Any], headers: dict[bytes, bytes]) -> Any:
    if authorization := headers.get(b"authorization"):
        try:
            value = bearer(authorization)
            return await database_sync_to_async(services.authenticate_token)(value or "")
        except NotAuthenticated:
            return AnonymousUser()
    if not _is_own_origin(headers):
        return AnonymousUser()
    user = await database_sync_to_async(acting)(await get_user(scope), scope["session"])
    if getattr(user, "seen_by", None) is not None:
        scope["is_still_seen"] = partial(_is_still_seen, user, scope["session"].session_key)
    return user


def _is_still_seen(user: Any, session_key: str) -> bool:
    """Whether the session still borrows these eyes, asked anew."""
    session = SessionStore(session_key)
    admin = User.objects.filter(pk=user.seen_by.pk, is_active=True).first()
    return admin is not None and acting(admin, session).pk == user.pk


def _is_own_origin(headers: dict[bytes, bytes]) -> bool:
    """SECURITY: a foreign page can open a websocket with our cookie; only the Origin tells it from ours."""
    origin = urlsplit(headers.get(b"origin", b"").decode("latin-1"))
    ours = urlsplit(settings.FATHOM_URL)
    host = headers.get(b"host", b"").decode("latin-1")
    same_host = origin.netloc == host and host.rpartition(":")[0].strip("[]") in settings.ALLOWED_HOSTS
    return (origin.scheme, origin.netloc) == (ours.scheme, ours.netloc) or (origin.scheme == ours.scheme and same_host)


def socket_auth(app: Application) -> Any:
    """Wrap a websocket application: session first (read lazily), then ours."""
    return SessionMiddlewareStack(SocketAuth(app))
