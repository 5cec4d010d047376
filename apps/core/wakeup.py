"""Hints that make a loop run now instead of at its next poll.

A hint carries no data and may be lost: every loop is right on its poll alone.
"""

import time
from collections.abc import Callable
from functools import partial

import structlog
from django.conf import settings
from django.db import connection, transaction
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

logger = structlog.get_logger(__name__)

_PAUSE_SECONDS = 2.0  # after a lost hint the broker is left alone this long, so that requests never wait for it
_broken_until = 0.0


def poke(name: str) -> None:
    """Ask for one run of the loop `name` after the present transaction commits; once per transaction."""
    hint = _HINTS[name]
    if any(waiting[1] is hint for waiting in connection.run_on_commit):
        return
    transaction.on_commit(hint, robust=True)


def _send(task: str) -> None:
    global _broken_until  # noqa: PLW0603 -- one circuit breaker per process
    if not settings.HINTS_ENABLED or time.monotonic() < _broken_until:
        return
    from config.celery import app  # noqa: PLC0415 -- Celery is loaded by the first hint, not by every command

    try:
        app.send_task(task, retry=False, ignore_result=True, expires=5)
    except (OperationalError, RedisError, OSError) as error:
        _broken_until = time.monotonic() + _PAUSE_SECONDS
        logger.warning("hint_lost", task=task, error=str(error))


_HINTS: dict[str, Callable[[], None]] = {"compute": partial(_send, "compute.reconcile")}
