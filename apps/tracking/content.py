"""The second origin: files that users made, behind signed links, without the platform's cookies.

SECURITY: what is served here is hostile. It gets no cookie, no script and no other origin; a browser shows only what
cannot hurt. The ticket only says who asked: his right to view is judged again for each request, and again every few
seconds while a long file is sent.
"""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, BinaryIO
from urllib.parse import parse_qs, quote
from uuid import UUID

import orjson
import structlog
from django.conf import settings
from django.db import DatabaseError, InterfaceError

from apps.audit import services as audit
from apps.core import blobs
from apps.core.errors import DomainError, Invalid, NotFound, Unready
from apps.core.ids import new_id
from apps.core.middleware import RequestContext, current_request
from apps.tracking import handlers, judging, media, parts, tickets
from apps.tracking.handlers import Made
from apps.tracking.paths import clean_path
from apps.tracking.ranges import UNSATISFIABLE, Range, requested
from apps.tracking.tickets import Ticket

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

logger = structlog.get_logger(__name__)

_ROUTE = re.compile(r"/(?P<kind>[a-z-]+)/(?P<run>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})/(?P<path>.+)", re.DOTALL)
_CHUNK = 256 << 10
_JUDGED_AGAIN_SECONDS = 3.0
_STALL_SECONDS = 30.0


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer one request of the content origin."""
    client = scope.get("client")
    held = current_request.set(RequestContext(str(new_id()), client[0] if client else None, "content"))
    try:
        await _answer(scope, receive, send)
    finally:
        current_request.reset(held)


async def _answer(scope: Scope, receive: Receive, send: Send) -> None:
    try:
        if scope["path"].startswith("/uploads/"):
            await _take(scope, receive, send)
            return
        if scope["method"] not in {"GET", "HEAD"}:
            await _refuse(send, 405, "method_not_allowed", "Files are read here.", {"Allow": "GET, HEAD"})
            return
        ticket = _ticket(scope)
        artifact = await judging.in_thread(judging.artifact_of, ticket)
        if isinstance(artifact, Made):
            await _make(scope, send, ticket, artifact)
        else:
            await _serve(scope, send, ticket, artifact)
    except DomainError as error:
        await _refuse(send, error.status, error.code, error.detail)
        if error.status in judging.REFUSALS and b"ticket=" in scope["query_string"]:
            action, kind, pk = _named(scope["path"])
            await judging.in_thread(audit.record_denied, None, action, kind, error, object_id=pk)
    except parts.ClientGoneError:
        return
    except (DatabaseError, InterfaceError):
        away = Unready("The database cannot be reached. Try again.")
        await _refuse(send, away.status, away.code, away.detail, {"Retry-After": "2"})


async def _take(scope: Scope, receive: Receive, send: Send) -> None:
    """Take one part of an upload."""
    if scope["method"] != "PUT":
        await _refuse(send, 405, "method_not_allowed", "Parts are put here.", {"Allow": "PUT"})
        return
    told = await parts.put(scope, receive)
    body = orjson.dumps(told)
    kind = {"Content-Type": "application/json", "Content-Length": str(len(body)), "ETag": f'"{told["sha256"]}"'}
    await _head(send, 200, {**_common(), **kind})
    await send({"type": "http.response.body", "body": body})


def _named(path: str) -> tuple[str, str, str]:
    """Say what was refused: action, kind and id."""
    if (part := parts.ROUTE.fullmatch(path)) is not None:
        return "log", "tracking.upload", part["upload"]
    named = _ROUTE.fullmatch(path)
    return ("view", handlers.label_of(named["kind"]), named["run"]) if named else ("view", "tracking.run", "")


def _ticket(scope: Scope) -> Ticket:
    """Raises: NotFound, NotAuthenticated."""
    match = _ROUTE.fullmatch(scope["path"])
    if match is None or (match["kind"] != "artifacts" and handlers.source_of(match["kind"]) is None):
        raise NotFound
    try:
        path = clean_path(match["path"])
    except Invalid:
        raise NotFound from None
    query = parse_qs(scope["query_string"].decode("latin-1"), max_num_fields=10)
    return tickets.read(query.get("ticket", [""])[0], run=UUID(match["run"]), path=path, kind=match["kind"])


async def _serve(scope: Scope, send: Send, ticket: Ticket, artifact: Any) -> None:
    asked = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    etag = f'"{artifact.sha256}"'
    headers = {**_common(), **_described(artifact, is_download=b"download=1" in scope["query_string"]), "ETag": etag}
    if etag in [tag.strip().removeprefix("W/") for tag in asked.get("if-none-match", "").split(",")]:
        await _head(send, 304, headers)
        await send({"type": "http.response.body", "body": b""})
        return
    part = requested(asked, size=artifact.size_bytes, etag=etag)
    if part is UNSATISFIABLE:
        await _refuse(send, 416, "range", "There is no such part.", {"Content-Range": f"bytes */{artifact.size_bytes}"})
        return
    file = await _open(artifact, part)
    try:
        if part.is_partial:
            headers["Content-Range"] = f"bytes {part.start}-{part.stop - 1}/{artifact.size_bytes}"
        await _head(send, 206 if part.is_partial else 200, {**headers, "Content-Length": str(part.stop - part.start)})
        if scope["method"] == "HEAD":
            await send({"type": "http.response.body", "body": b""})
        else:
            await _stream(send, file, part, ticket)
    finally:
        await asyncio.to_thread(file.close)


async def _open(artifact: Any, part: Range) -> BinaryIO:
    try:
        return await asyncio.to_thread(blobs.open_blob, artifact.sha256, part.start, part.stop)
    except blobs.Missing as error:
        logger.exception("blob_missing", artifact=str(artifact.pk), sha256=artifact.sha256)
        raise NotFound from error


async def _make(scope: Scope, send: Send, ticket: Ticket, made: Made) -> None:
    """Send what is made meanwhile: in chunks, without a length, always to be kept as a file."""
    headers = {**_common(), **_described(made, is_download=True)}
    del headers["Accept-Ranges"]
    await _head(send, 200, headers)
    if scope["method"] == "HEAD":
        await send({"type": "http.response.body", "body": b""})
        return
    chunks = made.chunks()
    try:
        await _pour(send, lambda: next(chunks, b""), ticket)
    except DomainError:
        logger.exception("content_cut", kind=ticket.kind, id=str(ticket.run))  # without its end, as below


async def _stream(send: Send, file: BinaryIO, part: Range, ticket: Ticket) -> None:
    await _pour(send, lambda: file.read(_CHUNK), ticket, part.stop - part.start)


async def _pour(send: Send, read: Callable[[], bytes], ticket: Ticket, length: int | None = None) -> None:
    left, judged_at = length, time.monotonic()
    while left is None or left > 0:
        if time.monotonic() - judged_at > _JUDGED_AGAIN_SECONDS:
            try:
                await judging.in_thread(judging.artifact_of, ticket)
            except DomainError as error:
                label, run = handlers.label_of(ticket.kind), str(ticket.run)
                await judging.in_thread(audit.record_denied, None, "view", label, error, object_id=run)
                return  # an answer without its end: the server cuts the connection, so the client sees a failure
            judged_at = time.monotonic()
        chunk = (await asyncio.to_thread(read))[:left]
        if not chunk:
            if left is None:
                break
            return
        left = None if left is None else left - len(chunk)
        try:
            await asyncio.wait_for(
                send({"type": "http.response.body", "body": chunk, "more_body": True}), _STALL_SECONDS
            )
        except TimeoutError:
            return  # the client has stopped taking anything
    await send({"type": "http.response.body", "body": b""})


def _common() -> dict[str, str]:
    policy = (
        "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:; media-src 'self';"
        f" base-uri 'none'; form-action 'none'; frame-ancestors {settings.FATHOM_URL}"
    )
    return {
        "Content-Security-Policy": policy,
        "X-Content-Type-Options": "nosniff",
        "Cross-Origin-Resource-Policy": "cross-origin",  # the platform's pages show images from here
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "private, no-store",
        "X-Robots-Tag": "noindex",
    }


def _described(artifact: Any, *, is_download: bool) -> dict[str, str]:
    content_type, is_shown = media.served_as(artifact.content_type)
    name = quote(artifact.path.rpartition("/")[2], safe="")
    place = "inline" if is_shown and not is_download else "attachment"
    return {
        "Content-Type": content_type,
        "Content-Disposition": f"{place}; filename*=UTF-8''{name}",
        "Accept-Ranges": "bytes",
    }


async def _head(send: Send, status: int, headers: Mapping[str, str]) -> None:
    pairs = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": pairs})


async def _refuse(send: Send, status: int, code: str, detail: str, extra: Mapping[str, str] | None = None) -> None:
    body = orjson.dumps({"type": "about:blank", "title": detail, "status": status, "code": code, "detail": detail})
    kind = {"Content-Type": "application/problem+json", "Content-Length": str(len(body))}
    await _head(send, status, {**_common(), **kind, **(extra or {})})
    await send({"type": "http.response.body", "body": body})
