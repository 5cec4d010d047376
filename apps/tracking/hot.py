"""The hot path: POST /api/v2/runs/<id>/log-batch/ on the event loop, without Django's request and without the ORM.

It answers like the view of the same name in `apps.tracking.api`: same policy, same validation, same statements, same
problem+json. Only bearer tokens are accepted, there and here.
"""

import re
from collections.abc import Mapping
from typing import Any
from uuid import UUID

import orjson
import psycopg
from django.db import Error as DjangoDatabaseError

from apps.accounts.authentication import bearer
from apps.audit import services as audit
from apps.core import asyncdb, native
from apps.core.api import problem
from apps.core.errors import DomainError, NotAuthenticated, NotFound, Unready
from apps.core.middleware import RequestContext, address_of, current_request, request_id_of
from apps.core.native import ClientGoneError, Receive, Scope, Send
from apps.tracking import batches, ingest, judging
from apps.tracking.ingest import Outcome


async def log_batch(scope: Scope, receive: Receive, send: Send, run_id: str) -> None:
    """Answer one request."""
    headers = native.headers_of(scope)
    client = scope.get("client")
    request_id = request_id_of(headers.get("x-request-id", ""))
    token = current_request.set(RequestContext(request_id, address_of(client[0] if client else None), "api"))
    try:
        outcome = await _log(headers, receive, run_id)
        await _answer(send, 200, outcome.as_json(), {"X-Request-ID": request_id})
    except ClientGoneError:
        return
    except (DomainError, DjangoDatabaseError, psycopg.Error) as error:
        refusal = native.translated(error)
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
    body = await native.body_of(receive, headers, largest=batches.LARGEST_BODY, too_large=batches.TOO_LARGE)
    batch = batches.read(body, content_type=headers.get("content-type", ""))
    key = ingest.key_of(run, batch, sender=sender, idempotency_key=headers.get("idempotency-key"), body=body)
    async with (await asyncdb.pool()).connection() as opened:
        return await ingest.write_async(opened, run, batch, key)


def _run_id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise NotFound from None


def _extra(refusal: DomainError) -> dict[str, str]:
    if isinstance(refusal, NotAuthenticated):
        return {"WWW-Authenticate": 'Bearer realm="fathom"'}
    return {"Retry-After": "2"} if isinstance(refusal, Unready) else {}


async def _answer(send: Send, status: int, document: Mapping[str, Any], headers: Mapping[str, str]) -> None:
    kind = "application/json" if status < 400 else "application/problem+json"  # noqa: PLR2004 -- every HTTP error
    await native.answer(send, status, orjson.dumps(document), {"Content-Type": kind, **headers})


ROUTES = [("POST", re.compile(r"^/api/v2/runs/(?P<run_id>[0-9a-f-]{36})/log-batch/$"), log_batch)]
