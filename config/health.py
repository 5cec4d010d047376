"""Whether this process can do its work, for load balancers and for the supervisor."""

import asyncio
import re
from typing import Any

import orjson
import psycopg
import redis.asyncio
from django.conf import settings
from psycopg_pool import PoolTimeout
from redis.exceptions import RedisError

from apps.core import asyncdb
from config.native import Route
from config.threads import Receive, Scope, Send

_PATIENCE_SECONDS = 2.0


async def readyz(scope: Scope, receive: Receive, send: Send, **_: Any) -> None:
    """Answer 200 when the database answers, else 503.

    Without Redis everything works, only later, and without the store of artifacts everything but files: "degraded".
    """
    del scope, receive
    database, hints, artifacts = await asyncio.gather(_database(), _hints(), asyncio.to_thread(_artifacts))
    state = "unavailable" if not database else "ok" if hints and artifacts == "ok" else "degraded"
    body = orjson.dumps({"status": state, "database": database, "hints": hints, "artifacts": artifacts})
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
    ]
    if not database:
        headers.append((b"retry-after", b"2"))
    await send({"type": "http.response.start", "status": 200 if database else 503, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _database() -> bool:
    try:
        # The newest table of the platform: a database without its migrations is of no use either.
        rows = await asyncio.wait_for(
            asyncdb.fetch("SELECT to_regclass('django_session') IS NOT NULL"), _PATIENCE_SECONDS
        )
    except (psycopg.Error, PoolTimeout, TimeoutError, OSError):
        return False
    return bool(rows[0][0])


async def _hints() -> bool:
    if not settings.REDIS_URL:
        return False
    client = redis.asyncio.Redis.from_url(settings.REDIS_URL, socket_timeout=1.0, socket_connect_timeout=1.0)
    try:
        await client.ping()
    except (RedisError, OSError):
        return False
    finally:
        await client.aclose()
    return True


def _artifacts() -> str:
    """Say "ok", or what is wrong with the store. SECURITY: anybody may ask, so no address and no name is told."""
    from apps.storage import health  # noqa: PLC0415 -- needs the apps loaded, which config.asgi does

    trouble = health.trouble()
    return (
        trouble.rpartition(": ")[2].rstrip(".")
        if trouble.startswith("The S3 server")
        else ("failing" if trouble else "ok")
    )


READYZ = Route("GET", re.compile(r"/readyz"), readyz)
