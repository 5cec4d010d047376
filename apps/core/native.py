"""What native ASGI handlers share: reading a request and writing an answer without Django's request."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

import psycopg
import structlog

from apps.core.api import translate
from apps.core.errors import DomainError, Invalid, TooLarge, Unready

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

STALL_SECONDS = 30.0  # a client that sends nothing for so long is gone

logger = structlog.get_logger(__name__)


class ClientGoneError(Exception):
    """The client has closed the connection or stopped sending: nobody waits for an answer."""


def headers_of(scope: Scope) -> dict[str, str]:
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}


async def body_of(receive: Receive, headers: Mapping[str, str], *, largest: int, too_large: str) -> bytes:
    """Read a whole body. Raises: TooLarge, ClientGoneError."""
    if int(headers.get("content-length") or 0) > largest:
        raise TooLarge(too_large)
    parts: list[bytes] = []
    size, has_more = 0, True
    while has_more:
        try:
            message = await asyncio.wait_for(receive(), STALL_SECONDS)
        except TimeoutError:
            raise ClientGoneError from None
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > largest:
            raise TooLarge(too_large)
        has_more = message.get("more_body", False)
    return b"".join(parts)


def translated(error: Exception) -> DomainError | None:
    """Map an exception to ours, that of the driver too; None for a bug."""
    if isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError)):
        logger.warning("database_unavailable", error=str(error))
        return Unready("The database cannot be reached; nothing was written. Try again.")
    if isinstance(error, psycopg.DataError):
        return Invalid("A value is out of range.")
    return translate(error)


async def answer(send: Send, status: int, body: bytes, headers: Mapping[str, str]) -> None:
    fields = {"Content-Length": str(len(body)), "Cache-Control": "no-store", **headers}
    pairs = [(name.lower().encode(), value.encode()) for name, value in fields.items()]
    await send({"type": "http.response.start", "status": status, "headers": pairs})
    await send({"type": "http.response.body", "body": body})
