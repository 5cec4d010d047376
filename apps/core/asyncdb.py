"""PostgreSQL for native async handlers: one small pool per process, opened on first use, healed after a restart.

The ORM stays in threads; what runs here is SQL, or what the ORM compiled (`compiled`).
"""

import asyncio
import select
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.models import QuerySet
from psycopg import AsyncConnection
from psycopg.rows import tuple_row
from psycopg_pool import AsyncConnectionPool

_SIZE = 4
_TIMEOUT_SECONDS = 3.0
_pools: dict[int, AsyncConnectionPool[Any]] = {}


async def pool() -> AsyncConnectionPool[Any]:
    """Return the pool of the running event loop. Raises psycopg_pool.PoolTimeout later, when nothing can be reached."""
    loop = id(asyncio.get_running_loop())
    if loop not in _pools:
        opened: AsyncConnectionPool[Any] = AsyncConnectionPool(
            settings.DATABASE_URL,
            min_size=1,
            max_size=_SIZE,
            open=False,
            timeout=_TIMEOUT_SECONDS,
            max_idle=60,
            check=_check,
            kwargs={"autocommit": True, "row_factory": tuple_row, "application_name": "fathom-async"},
        )
        _pools[loop] = opened
        await opened.open()
    return _pools[loop]


async def close() -> None:
    """Close this loop's pool, at shutdown."""
    opened = _pools.pop(id(asyncio.get_running_loop()), None)
    if opened is not None:
        await opened.close()


def compiled(queryset: QuerySet[Any]) -> tuple[str, tuple[Any, ...]]:
    """Return the SQL and parameters of a queryset, so that the one policy also judges native handlers."""
    sql, params = queryset.query.get_compiler(connection=connection).as_sql()
    return sql, tuple(params)


async def fetch(sql: str, params: Any = ()) -> list[Any]:
    """Run one statement and return its rows."""
    async with (await pool()).connection() as opened:
        cursor = await opened.execute(sql.encode(), params)
        rows: list[Any] = await cursor.fetchall()
        return rows


async def _check(opened: AsyncConnection[Any]) -> None:
    """Refuse a connection that was cut. An idle one that has something to say is asked; to ask each would cost a round trip."""
    waiting = select.poll()
    waiting.register(opened.fileno(), select.POLLIN)
    if waiting.poll(0):
        await AsyncConnectionPool.check_connection(opened)
