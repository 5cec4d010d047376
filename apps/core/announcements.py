"""Hints to whoever follows something live: "there is more". Losing one costs its reader a poll."""

import asyncio
import threading
from typing import Any

import structlog
from channels.layers import get_channel_layer
from redis.exceptions import RedisError

logger = structlog.get_logger(__name__)


def group_of(subject: str) -> str:
    """Name the channel group of everything that happens to a subject ("run:<id>")."""
    return subject.replace(":", ".")


def announce(subject: str, message: dict[str, Any]) -> None:
    """Send a hint to the followers of a subject; never waits. Of several of one type the last one goes."""
    layer = get_channel_layer()
    if layer is not None:
        _announcer().tell(layer, group_of(subject), message)


class _Announcer:
    """An event loop in a thread, which keeps the connection: a loop per hint would open one each time (2 ms)."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._lock = threading.Lock()
        self._waiting: dict[tuple[str, str], tuple[Any, dict[str, Any]]] = {}  # group and type -> the newest
        self._is_sending = False
        threading.Thread(target=self._loop.run_forever, name="announcements", daemon=True).start()

    def tell(self, layer: Any, group: str, message: dict[str, Any]) -> None:
        with self._lock:
            self._waiting[group, message["type"]] = (layer, message)
            if self._is_sending:
                return
            self._is_sending = True
        asyncio.run_coroutine_threadsafe(self._send(), self._loop)

    async def _send(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._is_sending = False
                    return
                group, kind = next(iter(self._waiting))
                layer, message = self._waiting.pop((group, kind))
            try:
                await layer.group_send(group, message)
            except (RedisError, OSError) as error:
                logger.warning("announcement_lost", group=group, error=str(error))
            except Exception:  # the outermost level of a loop: a bug must not silence it
                logger.exception("announcement_failed", group=group)


_started: _Announcer | None = None
_starting = threading.Lock()


def _announcer() -> _Announcer:
    global _started  # noqa: PLW0603 -- one per process, started by the first hint
    with _starting:
        if _started is None:
            _started = _Announcer()
    return _started
