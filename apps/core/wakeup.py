"""Hints that make a loop run now instead of at its next poll.

A hint carries no data and may be lost: every loop is right on its poll alone. Hints are published, to whoever listens
at this moment, from a thread of their own: the first at once, a burst of them as one (docs/adr/0008).
"""

import threading
import time
from collections.abc import Callable
from functools import partial

import redis
import structlog
from django.conf import settings
from django.db import connection, transaction
from redis.exceptions import RedisError

logger = structlog.get_logger(__name__)

_PAUSE_SECONDS = 2.0  # after a lost hint the server is left alone this long
_BURST_SECONDS = 0.05  # hints within this time are one
_TIMEOUT_SECONDS = 1.0


def poke(name: str) -> None:
    """Ask for one run of the loop `name` after the present transaction commits; once per transaction."""
    hint = _ASK[name]
    if any(waiting[1] is hint for waiting in connection.run_on_commit):
        return
    transaction.on_commit(hint, robust=True)


def listen(name: str, heard: Callable[[], None], stop: threading.Event) -> None:
    """Call `heard` for each hint to the loop `name`, until `stop` is set. Outlives every failure of the server."""
    while not stop.is_set():
        try:
            with _client().pubsub(ignore_subscribe_messages=True) as heard_here:  # type: ignore[no-untyped-call]  # redis
                heard_here.subscribe(_channel(name))
                heard()  # for what was said while nobody listened
                while not stop.is_set():
                    if heard_here.get_message(timeout=_TIMEOUT_SECONDS / 2) is not None:
                        heard()
        except (RedisError, OSError):
            stop.wait(_PAUSE_SECONDS)


def _ask(name: str) -> None:
    if settings.HINTS_ENABLED:
        _sender().ask(name)


class _Sender:
    """The thread that publishes, so that no request waits for a server that is slow or gone."""

    def __init__(self) -> None:
        self._asked: set[str] = set()
        self._is_asked = threading.Event()
        self._client = _client()
        self._broken_until = 0.0
        threading.Thread(target=self._run, name="hints", daemon=True).start()

    def ask(self, name: str) -> None:
        self._asked.add(name)
        self._is_asked.set()

    def _run(self) -> None:
        while True:
            self._is_asked.wait()
            self._is_asked.clear()
            while self._asked:
                self._publish(self._asked.pop())
            time.sleep(_BURST_SECONDS)

    def _publish(self, name: str) -> None:
        if time.monotonic() < self._broken_until:
            return
        try:
            self._client.publish(_channel(name), b"")
        except (RedisError, OSError) as error:
            self._broken_until = time.monotonic() + _PAUSE_SECONDS
            logger.warning("hint_lost", hint=name, error=str(error))
        except Exception:  # the outermost level of a loop: a bug must not silence it
            logger.exception("hint_failed", hint=name)


_started: _Sender | None = None
_starting = threading.Lock()


def _sender() -> _Sender:
    global _started  # noqa: PLW0603 -- one per process, started by the first hint
    with _starting:
        if _started is None:
            _started = _Sender()
    return _started


def _client() -> "redis.Redis":
    limits = {"socket_timeout": _TIMEOUT_SECONDS, "socket_connect_timeout": _TIMEOUT_SECONDS}
    return redis.Redis.from_url(settings.REDIS_URL, **limits)


def _channel(name: str) -> str:
    return f"fathom.hint.{name}"


_ASK = {"compute": partial(_ask, "compute")}
