"""The hot path: POST /api/v2/runs/<id>/log-batch/ on the event loop, without Django's request and without the ORM.

It answers like the view of the same name in `apps.tracking.api`: same policy, same validation, same statements, same
problem+json. Only bearer tokens are accepted, there and here.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any
from uuid import UUID

import orjson
import psycopg
import structlog
from django.db import Error as DjangoDatabaseError

from apps.accounts.authentication import bearer
from apps.audit import services as audit
from apps.core import asyncdb
from apps.core.api import problem, translate
from apps.core.errors import DomainError, Invalid, NotAuthenticated, NotFound, TooLarge, Unready
from apps.core.middleware import RequestContext, address_of, current_request, request_id_of
from apps.tracking import batches, ingest, judging
from apps.tracking.ingest import Outcome

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_STALL_SECONDS = 30.0  # a client that sends nothing for so long is gone

logger = structlog.get_logger(__name__)


class _ClientGoneError(Exception):
    """The client has closed the connection or stopped sending: nobody waits for an answer."""


async def log_batch(scope: Scope, receive: Receive, send: Send, run_id: str) -> None:
    """Answer one request."""
    headers = _headers(scope)
    client = scope.get("client")
    request_id = request_id_of(headers.get("x-request-id", ""))
    token = current_request.set(RequestContext(request_id, address_of(client[0] if client else None), "api"))
    try:
        outcome = await _log(headers, receive, run_id)
        await _answer(send, 200, outcome.as_json(), {"X-Request-ID": request_id})
    except _ClientGoneError:
        return
    except (DomainError, DjangoDatabaseError, psycopg.Error) as error:
        refusal = _translated(error)
        if refusal is None:
            raise  # a bug: the server answers 500 and logs it
        await _answer(send, refusal.status, problem(refusal), {"X-Request-ID": request_id, **_extra(refusal)})
        if refusal.status in judging.REFUSALS and "authorization" in headers:
            await judging.in_thread(audit.record_denied, None, "log", "tracking.run", refusal, object_id=run_id)
    finally:
        current_request.reset(token)


async def _log(headers: Mapping[str, str], receive: Receive, run_id: str) -> Outcome:
    """Judge, read, check, write: in the order of the view, so that both give the same reason for a refusal."""
    value = bearer(headers.get("authorization", "").encode("latin-1"))
    if value is None:
        msg = "Authentication credentials were not provided."
        raise NotAuthenticated(msg)
    run = _run_id(run_id)
    sender = await judging.may_log(value, run)
    body = await _body(receive, int(headers.get("content-length") or 0))
    batch = batches.read(body, content_type=headers.get("content-type", ""))
    key = ingest.key_of(run, batch, sender=sender, idempotency_key=headers.get("idempotency-key"), body=body)
    async with (await asyncdb.pool()).connection() as opened:
        return await ingest.write_async(opened, run, batch, key)


def _headers(scope: Scope) -> dict[str, str]:
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}


def _run_id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise NotFound from None


async def _body(receive: Receive, announced: int) -> bytes:
    if announced > batches.LARGEST_BODY:
        raise TooLarge(batches.TOO_LARGE)
    parts: list[bytes] = []
    size, has_more = 0, True
    while has_more:
        try:
            message = await asyncio.wait_for(receive(), _STALL_SECONDS)
        except TimeoutError:
            raise _ClientGoneError from None
        if message["type"] == "http.disconnect":
            raise _ClientGoneError
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > batches.LARGEST_BODY:
            raise TooLarge(batches.TOO_LARGE)
        has_more = message.get("more_body", False)
    return b"".join(parts)


def _translated(error: Exception) -> DomainError | None:
    if isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError)):
        logger.warning("database_unavailable", error=str(error))
        return Unready("The database cannot be reached; nothing was written. Try again.")
    if isinstance(error, psycopg.DataError):
        return Invalid("A value is out of range.")
    return translate(error)


def _extra(refusal: DomainError) -> dict[str, str]:
    if isinstance(refusal, NotAuthenticated):
        return {"WWW-Authenticate": 'Bearer realm="fathom"'}
    return {"Retry-After": "2"} if isinstance(refusal, Unready) else {}


async def _answer(send: Send, status: int, document: Mapping[str, Any], headers: Mapping[str, str]) -> None:
    body = orjson.dumps(document)
    kind = "application/json" if status < 400 else "application/problem+json"  # noqa: PLR2004 -- every HTTP error
    fields = {"Content-Type": kind, "Content-Length": str(len(body)), "Cache-Control": "no-store", **headers}
    pairs = [(name.lower().encode(), value.encode()) for name, value in fields.items()]
    await send({"type": "http.response.start", "status": status, "headers": pairs})
    await send({"type": "http.response.body", "body": body})


ROUTES = [("POST", re.compile(r"^/api/v2/runs/(?P<run_id>[0-9a-f-]{36})/log-batch/$"), log_batch)]
