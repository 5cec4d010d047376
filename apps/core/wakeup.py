"""Hints that make a loop run now instead of at its next poll.

A hint carries no data and may be lost: every loop is right on its poll alone. Hints leave from a thread of their own:
the first at once, a burst of them as one.
"""

import threading
import time
from functools import partial

import structlog
from django.conf import settings
from django.db import connection, transaction
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

logger = structlog.get_logger(__name__)

_PAUSE_SECONDS = 2.0  # after a lost hint the broker is left alone this long
_BURST_SECONDS = 0.05  # hints within this time are one
_broken_until = 0.0


def poke(name: str) -> None:
    """Ask for one run of the loop `name` after the present transaction commits; once per transaction."""
    hint = _ASK[name]
    if any(waiting[1] is hint for waiting in connection.run_on_commit):
        return
    transaction.on_commit(hint, robust=True)


def _ask(task: str) -> None:
    if settings.HINTS_ENABLED:
        _sender().ask(task)


class _Sender:
    def __init__(self) -> None:
        self._tasks: set[str] = set()
        self._is_asked = threading.Event()
        threading.Thread(target=self._run, name="hints", daemon=True).start()

    def ask(self, task: str) -> None:
        self._tasks.add(task)
        self._is_asked.set()

    def _run(self) -> None:
        while True:
            self._is_asked.wait()
            self._is_asked.clear()
            while self._tasks:
                _send(self._tasks.pop())
            time.sleep(_BURST_SECONDS)


_started: _Sender | None = None
_starting = threading.Lock()


def _sender() -> _Sender:
    global _started  # noqa: PLW0603 -- one per process, started by the first hint
    with _starting:
        if _started is None:
            _started = _Sender()
    return _started


def _send(task: str) -> None:
    global _broken_until  # noqa: PLW0603 -- one circuit breaker per process
    if time.monotonic() < _broken_until:
        return
    from config.celery import app  # noqa: PLC0415 -- Celery is loaded by the first hint, not by every command

    try:
        app.send_task(task, retry=False, ignore_result=True, expires=5)
    except (OperationalError, RedisError, OSError) as error:
        _broken_until = time.monotonic() + _PAUSE_SECONDS
        logger.warning("hint_lost", task=task, error=str(error))


_ASK = {"compute": partial(_ask, "compute.reconcile")}
