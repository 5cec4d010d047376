"""What guarded websockets share: judged when they open and every few seconds after."""

import asyncio
from typing import Any, ClassVar

import structlog
from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from django.contrib.auth import get_user_model
from django.db import InterfaceError, OperationalError
from django.db.models import Model, QuerySet
from typing_extensions import override

from apps.access import policy

logger = structlog.get_logger(__name__)

RECHECK_SECONDS = 4.0  # promised: an open socket is closed within 5 s of losing access
_SHARED_SECONDS = 0.5  # sockets of one person on one object are judged together, by a judgement no older than this
_judgements: "dict[tuple[Any, ...], asyncio.Task[int]]" = {}
UNAUTHENTICATED, FORBIDDEN, NOT_FOUND, TRY_LATER = 4401, 4403, 4404, 1013


class GuardedConsumer(AsyncWebsocketConsumer):  # type: ignore[misc]  # Channels has no types
    """A socket on one object. `policy_action` is required; `find` names the object."""

    policy_action: ClassVar[str]
    found: Model
    _watch: "asyncio.Task[None] | None" = None

    def find(self) -> QuerySet[Any]:
        """Return the queryset that holds at most the one object of the URL."""
        raise NotImplementedError

    async def opened(self) -> None:
        """Begin: the socket is accepted and allowed."""

    @override
    async def connect(self) -> None:
        await self.accept()
        code = await database_sync_to_async(self._judge)()
        if code:
            await self.close(code)
            return
        self._watch = asyncio.create_task(self._recheck())
        await self.opened()

    @override
    async def disconnect(self, code: int) -> None:
        if self._watch is not None:
            self._watch.cancel()

    async def _recheck(self) -> None:
        while True:
            await asyncio.sleep(RECHECK_SECONDS)
            try:
                code = await asyncio.shield(self._shared_judgement())
            except (OperationalError, InterfaceError) as error:  # the database is away: it will be asked again
                logger.warning("recheck_waits", error=str(error).strip())
                continue
            if code:
                await self.close(code)
                return

    def _shared_judgement(self) -> "asyncio.Task[int]":
        loop = asyncio.get_running_loop()
        user = self.scope["user"]
        token = getattr(user, "token", None)
        key = (id(loop), type(self), user.pk, token and token.pk, user.seen_by and user.seen_by.pk, self.found.pk)
        if key not in _judgements:
            _judgements[key] = asyncio.ensure_future(database_sync_to_async(self._judge_anew)())
            loop.call_later(_SHARED_SECONDS, _judgements.pop, key, None)
        return _judgements[key]

    def _judge_anew(self) -> int:
        """Judge with the user, his token and memberships as they are now."""
        user = self.scope["user"]
        fresh = get_user_model()._default_manager.filter(pk=user.pk).first()  # noqa: SLF001 -- generic code
        token = getattr(user, "token", None)
        if fresh is None or not fresh.is_active or (token is not None and not self._is_live(token)):
            return UNAUTHENTICATED
        fresh.token = token
        fresh.elevated_until, fresh.seen_by = user.elevated_until, user.seen_by
        if fresh.seen_by is not None and not self.scope["is_still_seen"]():
            return UNAUTHENTICATED
        self.scope["user"] = fresh
        return self._judge()

    def _is_live(self, token: Any) -> bool:
        token.refresh_from_db(fields=["revoked_at", "expires_at"])
        return bool(token.is_live)

    def _judge(self) -> int:
        user: Any = self.scope["user"]
        if not (user.is_authenticated and user.is_active):
            return UNAUTHENTICATED
        found = self.find().first()
        if found is None:
            return NOT_FOUND
        decision = policy.decide(user, self.policy_action, found)
        if not decision.visible:
            return NOT_FOUND
        self.found = found
        return 0 if decision.allowed else FORBIDDEN
