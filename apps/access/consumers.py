"""What guarded websockets share: judged when they open and every few seconds after."""

import asyncio
from collections.abc import Callable
from typing import Any, ClassVar

import structlog
from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from django.db import InterfaceError, OperationalError
from django.db.models import Model, QuerySet
from typing_extensions import override

from apps.access import policy
from apps.audit.services import record_denied
from apps.core.errors import DomainError, NotAllowed, NotAuthenticated, NotFound

logger = structlog.get_logger(__name__)

RECHECK_SECONDS = 4.0  # promised: an open socket is closed within 5 s of losing access
_SHARED_SECONDS = 0.5  # sockets of one person on one object are judged together, by a judgement no older than this
_judgements: "dict[tuple[Any, ...], asyncio.Task[int]]" = {}
UNAUTHENTICATED, FORBIDDEN, NOT_FOUND, TRY_LATER = 4401, 4403, 4404, 1013
_REFUSALS: dict[int, Callable[[], DomainError]] = {
    UNAUTHENTICATED: lambda: NotAuthenticated("Access has ended."),
    FORBIDDEN: lambda: NotAllowed("The role is too low, or the token lacks the scope."),
    NOT_FOUND: NotFound,
}


class GuardedConsumer(AsyncWebsocketConsumer):  # type: ignore[misc]  # Channels has no types
    """A socket on one object. `policy_action` is required; `find` names the object.

    The scope's `anew` returns its user as he is now, None when he, his token or his session has ended.
    """

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
            await self._refuse(code)
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
                await self._refuse(code)
                return

    async def _refuse(self, code: int) -> None:
        """Close, and write down who was refused what. Whoever merely is nobody has tried nothing."""
        await self.close(code)
        error: DomainError | None = self.scope.get("refusal")  # of the credential that was shown
        if code != UNAUTHENTICATED or error is not None or hasattr(self, "found"):
            await database_sync_to_async(self._record)(error or _REFUSALS[code]())

    def _record(self, error: DomainError) -> None:
        found: Model | str = getattr(self, "found", "")
        named = next((str(value) for value in self.scope["url_route"]["kwargs"].values()), "")
        kind = found or self.find().model._meta.label_lower  # noqa: SLF001 -- documented Django API
        record_denied(self.scope["user"], self.policy_action, kind, error, object_id=named)

    def _shared_judgement(self) -> "asyncio.Task[int]":
        loop = asyncio.get_running_loop()
        user = self.scope["user"]
        through = [found and found.pk for found in (user.token, user.session)]
        key = (id(loop), type(self), user.pk, *through, self.found.pk)
        if key not in _judgements:
            _judgements[key] = asyncio.ensure_future(database_sync_to_async(self._judge_anew)())
            loop.call_later(_SHARED_SECONDS, _judgements.pop, key, None)
        return _judgements[key]

    def _judge_anew(self) -> int:
        """Judge with the user, his token or session, and his memberships as they are now."""
        fresh = self.scope["anew"](self.scope["user"])
        if fresh is None:
            return UNAUTHENTICATED
        self.scope["user"] = fresh
        return self._judge()

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
