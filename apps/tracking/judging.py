"""Judging for native handlers: the same functions that judge everywhere, run in two threads beside the event loop."""

import asyncio
import contextvars
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar
from uuid import UUID

from django.db import close_old_connections, transaction

from apps.access import policy
from apps.accounts import acting, tokens
from apps.accounts import services as accounts
from apps.accounts.models import User
from apps.audit import services as audit
from apps.core.errors import DomainError, NotAuthenticated, NotFound
from apps.core.middleware import current_request
from apps.tracking import handlers
from apps.tracking.models import Artifact, Run, Upload
from apps.tracking.tickets import Ticket

P = ParamSpec("P")
R = TypeVar("R")

# SECURITY: removed access must stop within a second, so a yes is believed for half of one. A no is never kept.
VERDICT_SECONDS = 0.5
_MOST_VERDICTS = 10_000
REFUSALS = {401, 403, 404}  # the statuses of an attempt that was denied: the door writes it down

_threads = ThreadPoolExecutor(2, thread_name_prefix="judge")
_Verdict = tuple[float, int]  # good until (monotonic), who
_Key = tuple[str, UUID, str | None]  # digest of the token, run, and the address asked from: a token may be tied to some
_verdicts: dict[_Key, _Verdict] = {}
_pending: dict[_Key, "asyncio.Task[int]"] = {}


async def may_log(token: str, run_id: UUID) -> int:
    """Return the id of the user of `token`, who may log to the run. Raises: NotAuthenticated, NotFound, NotAllowed."""
    key = (tokens.digest(token), run_id, current_request.get().ip)
    known = _verdicts.get(key)
    if known is not None and known[0] > time.monotonic():
        return known[1]
    if key not in _pending:  # one question at a time: who comes meanwhile waits for the same answer
        _pending[key] = asyncio.create_task(_ask(key, token))
    return await asyncio.shield(_pending[key])


def forget(run_id: UUID) -> None:
    """Believe no verdict about a run any more, once the present transaction is committed: it was deleted."""

    def drop() -> None:
        for key in [key for key in list(_verdicts) if key[1] == run_id]:
            _verdicts.pop(key, None)

    transaction.on_commit(drop)


def forget_all() -> None:
    """Believe no verdict about any run any more, once the present transaction is committed."""
    transaction.on_commit(_verdicts.clear)


async def in_thread(call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Run something that uses the ORM, with this request's context, and with a connection that is alive."""
    return await in_pool(_threads, call, *args, **kwargs)


async def in_pool(threads: ThreadPoolExecutor, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Do the same in other threads: those of a door that does more than to judge."""

    def work() -> R:
        close_old_connections()
        try:
            return call(*args, **kwargs)
        finally:
            close_old_connections()

    context = contextvars.copy_context()
    return await asyncio.get_running_loop().run_in_executor(threads, context.run, work)


def artifact_of(ticket: Ticket) -> Any:
    """Return the artifact that a genuine ticket names, or what another app serves, if its user may still view it.

    Raises: NotAuthenticated when the user, his token or his session has ended since, NotFound.
    """
    user = _user_of(ticket)
    source = handlers.source_of(ticket.kind)
    if source is not None:
        return source.find(user, ticket)
    rows = Artifact.objects.visible_to(user, "view").filter(run_id=ticket.run, path=ticket.path, run__archived_at=None)
    found = rows.first()
    if found is None:
        raise audit.refused(user, "view", "tracking.run", NotFound(), object_id=str(ticket.run))
    return found


def upload_of(ticket: Ticket) -> Upload:
    """Return the upload that a genuine ticket names, if its user, who began it, may still log to its run.

    Raises: NotAuthenticated when the user, his token or his session has ended since, NotFound, NotAllowed.
    """
    user = _user_of(ticket)
    rows = Upload.objects.visible_to(user, "view").of(user).filter(pk=ticket.run, run__archived_at=None)
    found = rows.select_related("run", "quota_node").first()
    if found is None:
        raise audit.refused(user, "log", "tracking.upload", NotFound(), object_id=str(ticket.run))
    policy.require(user, "log", found)
    result: Upload = found
    return result


def _user_of(ticket: Ticket) -> User:
    found = acting.person(ticket.user, token=ticket.token, session=ticket.session)
    if found is None:
        raise _ended(User.objects.filter(pk=ticket.user).first(), ticket)
    accounts.require_address(found.token)
    return found


def _ended(user: User | None, ticket: Ticket) -> DomainError:
    refusal = NotAuthenticated("Who opened this link may not any more.")
    return audit.refused(user, "view", handlers.label_of(ticket.kind), refusal, object_id=str(ticket.run))


async def _ask(key: _Key, token: str) -> int:
    asked_at = time.monotonic()
    try:
        user = await in_thread(_judge, token, key[1])
    finally:
        _pending.pop(key, None)
    if len(_verdicts) >= _MOST_VERDICTS:
        _verdicts.clear()
    _verdicts[key] = (asked_at + VERDICT_SECONDS, user)
    return user


def _judge(token: str, run_id: UUID) -> int:
    user = accounts.authenticate_token(token, afresh=True)  # its yes is kept here: two memories would add up
    run = Run.objects.visible_to(user, "view").live().filter(pk=run_id).first()
    if run is None:
        raise audit.refused(user, "log", "tracking.run", NotFound(), object_id=str(run_id))
    policy.require(user, "log", run)
    return int(user.pk)
