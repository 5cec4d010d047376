"""Looking for a secret everywhere it could have been left: in every form, in the database, and on its way to the hint server."""

import base64
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from urllib.parse import quote

import redis
from django.conf import settings
from django.db import connection


def found_in(text: str, values: Iterable[bytes]) -> list[bytes]:
    """Return the planted values that show up in `text`, as they are or encoded."""
    return [value for value in values if any(form in text for form in _forms(value))]


def _forms(value: bytes) -> list[str]:
    encoded = [base64.b64encode(value).decode().rstrip("=")[:-1], value.hex(), quote(value)]
    return [*encoded, *([value.decode()] if value.isascii() else [])]


def database() -> str:
    """Return every column of every row of every table, as text; bytes in hexadecimal."""
    with connection.cursor() as cursor:
        parts = []
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f'SELECT t::text FROM "{table}" t')
            parts += [row[0] for row in cursor.fetchall()]
    return "\n".join(parts)


@contextmanager
def monitored() -> Iterator[list[str]]:
    """Keep every command that reaches the hint server meanwhile: tasks, channel messages, all of it."""
    seen: list[str] = []
    # Between two commands there may be a long silence, which is no failure.
    patient = redis.Redis.from_url(settings.REDIS_URL, socket_timeout=None)
    with patient as client, client.monitor() as monitor:
        ready = threading.Event()

        def listen() -> None:
            ready.set()
            for command in monitor.listen():
                seen.append(str(command["command"]))
                if "the-monitor-may-stop" in seen[-1]:
                    return

        thread = threading.Thread(target=listen, daemon=True)
        thread.start()
        ready.wait(5)
        try:
            yield seen
        finally:
            client.ping()
            redis.Redis.from_url(settings.REDIS_URL).echo("the-monitor-may-stop")
            thread.join(10)
            assert not thread.is_alive()
