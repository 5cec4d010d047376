"""Who opens a websocket: the bearer of a token, or a browser's session that comes from our own origin."""

from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

import structlog
from channels.auth import get_user
from channels.db import database_sync_to_async
from channels.sessions import SessionMiddlewareStack
from django.conf import settings
from django.contrib.auth.models import AnonymousUser

from apps.accounts import services
from apps.accounts.acting import acting, anew
from apps.accounts.authentication import bearer
from apps.core.errors import NotAuthenticated
from apps.core.ids import new_id
from apps.core.middleware import RequestContext, address_of, agent_of, current_request

Application = Callable[[dict[str, Any], Any, Any], Awaitable[None]]


class SocketAuth:
    """Puts `user` into the scope: anonymous unless proven otherwise."""

    def __init__(self, app: Application) -> None:
        self.app = app

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        headers = dict(scope["headers"])
        ip = address_of((scope.get("client") or (None,))[0])
        agent = agent_of(headers.get(b"user-agent", b"").decode("latin-1"))
        current_request.set(RequestContext(str(new_id()), ip, "websocket", user_agent=agent))
        structlog.contextvars.bind_contextvars(request_id=current_request.get().request_id)
        scope["user"] = await _user(scope, headers)
        scope["anew"] = anew
        await self.app(scope, receive, send)


async def _user(scope: dict[str, Any], headers: dict[bytes, bytes]) -> Any:
    if authorization := headers.get(b"authorization"):
        try:
            value = bearer(authorization)
            return await database_sync_to_async(services.authenticate_token)(value or "")
        except NotAuthenticated as error:
            scope["refusal"] = error
            return AnonymousUser()
    if not _is_own_origin(headers):
        return AnonymousUser()
    user = await get_user(scope)
    return await database_sync_to_async(_acting)(user, scope["session"])


def _acting(user: Any, session: Any) -> Any:
    """Look through Channels' lazy session at the one that was loaded."""
    return acting(user, getattr(session, "_wrapped", session))


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
