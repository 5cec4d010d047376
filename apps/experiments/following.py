"""Live logs for many readers: one feed per experiment and process reads the store once and hands frames to all.

The store is the truth. A hint says "there is more"; without hints the feed polls. A reader that falls behind is not
waited for: it catches up from the store by itself.
"""

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import orjson
import structlog
from channels.layers import get_channel_layer
from psycopg import Error as DatabaseError
from psycopg_pool import PoolTimeout
from redis.exceptions import RedisError

from apps.compute.logs import READ_PIECES
from apps.core import asyncdb
from apps.experiments.logs import whole_characters

logger = structlog.get_logger(__name__)

_POLL_SECONDS = 1.0
_PIECE = 256 << 10
_LONGEST_QUEUE = 256

_STATE = """
    SELECT w.state, w.reason, w.message, w.exit_code, w.started_at, w.finished_at, a.id, a.no, a.log_bytes, a.log_ended_at IS NOT NULL
      FROM experiments_experiment e JOIN compute_workload w ON w.id = e.workload_id
      LEFT JOIN compute_attempt a ON a.workload_id = w.id AND a.no = COALESCE(%(attempt)s, w.attempt_no)
     WHERE e.run_id = %(experiment)s
"""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the database says of an experiment at one moment."""

    state: dict[str, Any]
    attempt_id: UUID | None
    attempt: int
    log_bytes: int
    ended: bool


async def snapshot(experiment: UUID, attempt: int | None) -> Snapshot | None:
    rows = await asyncdb.fetch(_STATE, {"experiment": experiment, "attempt": attempt})
    if not rows:
        return None
    state, reason, message, exit_code, started, finished, attempt_id, number, log_bytes, ended = rows[0]
    told = {"state": state, "reason": reason, "message": message, "exit_code": exit_code}
    times = {"started_at": started, "finished_at": finished}
    return Snapshot({**told, **times, "attempt": number or 0}, attempt_id, number or 0, log_bytes or 0, bool(ended))


async def read(attempt_id: UUID, offset: int) -> bytes:
    """Return up to one piece of stored bytes from `offset` on."""
    rows = await asyncdb.fetch(READ_PIECES, {"attempt": attempt_id, "offset": offset, "limit": _PIECE})
    return b"".join(bytes(data) for (data,) in rows)[:_PIECE]


def frame(kind: str, **facts: Any) -> str:
    return orjson.dumps({"type": kind, **facts}, option=orjson.OPT_UTC_Z).decode()


@dataclass(eq=False)
class Reader:
    """One follower: its place in the stream, and the frames that wait for it once it is level with the feed."""

    offset: int
    queue: asyncio.Queue[tuple[int, str]] = field(default_factory=lambda: asyncio.Queue(_LONGEST_QUEUE))
    is_level: bool = False
    attempt: int = 0


class Feed:
    """Follows one experiment (one attempt of it, or always the newest) for all readers of this process."""

    def __init__(self, experiment: UUID, attempt: int | None) -> None:
        self.experiment = experiment
        self.wanted = attempt
        self.readers: set[Reader] = set()
        self.now: Snapshot | None = None
        self.tail = 0
        self._looked_at = float("-inf")
        self.task: asyncio.Task[None] | None = None
        self.ready = asyncio.Event()

    async def run(self) -> None:
        """Refresh on every hint and every poll, until nobody reads."""
        group = f"run.{self.experiment}"
        layer: Any = get_channel_layer()
        channel = ""
        hint: dict[str, Any] = {}
        try:
            while True:
                channel = channel or await self._quietly(self._join(layer, group))
                try:
                    await self._follow(hint)
                except (DatabaseError, PoolTimeout) as error:
                    logger.warning("feed_waits", experiment=str(self.experiment), error=str(error))
                    await asyncio.sleep(_POLL_SECONDS)
                self.ready.set()
                hint = await self._hint(layer, channel)
        finally:
            if channel:
                await self._quietly(layer.group_discard(group, channel))

    async def _join(self, layer: Any, group: str) -> str:
        channel: str = await layer.new_channel("feed")
        await layer.group_add(group, channel)
        return channel

    async def _follow(self, hint: dict[str, Any]) -> None:
        """Read what the hint speaks of. More of the log needs no look at the state, which a moving log would pay for."""
        is_log_only = hint.get("type") == "log.more" and self.now is not None and hint["attempt"] == self.now.attempt
        if self.now is None or not is_log_only or time.monotonic() - self._looked_at > _POLL_SECONDS:
            self._looked_at = time.monotonic()
            await self.refresh()
        else:
            await self._read_to(self.now, hint["upto"])

    async def _hint(self, layer: Any, channel: str) -> dict[str, Any]:
        if not channel:  # hints are away: polls alone
            await asyncio.sleep(_POLL_SECONDS)
            return {}
        try:
            hint: dict[str, Any] = await asyncio.wait_for(layer.receive(channel), _POLL_SECONDS)
        except TimeoutError:
            return {}
        except (RedisError, OSError):
            await asyncio.sleep(_POLL_SECONDS)
            return {}
        return hint

    async def _quietly(self, work: Any) -> Any:
        try:
            return await work
        except (RedisError, OSError) as error:
            logger.warning("hints_unavailable", error=str(error))
            return None

    async def refresh(self) -> None:
        """Read what is new and hand it to the readers that are level."""
        found = await snapshot(self.experiment, self.wanted)
        if found is None:
            return
        before, self.now = self.now, found
        if before is None or before.attempt != found.attempt:
            self.tail = 0 if before else found.log_bytes
            self._put(self.tail, frame("attempt", attempt=found.attempt))
        if before is None or before.state != found.state:
            self._put(self.tail, frame("state", **found.state))
        await self._read_to(found, found.log_bytes)
        if (
            found.ended
            and self.tail >= found.log_bytes
            and not (before and before.ended and before.attempt == found.attempt)
        ):
            self._put(self.tail, frame("eof", attempt=found.attempt, total_bytes=found.log_bytes))

    async def _read_to(self, found: Snapshot, upto: int) -> None:
        while self.tail < upto and found.attempt_id is not None:
            data = await self._next(found)
            if not data:
                break
            start, self.tail = self.tail, self.tail + len(data)
            self._put(self.tail, log_frame(start, data, found.attempt))

    async def _next(self, found: Snapshot) -> bytes:
        assert found.attempt_id is not None  # noqa: S101 -- the caller has checked; for the type checker
        data = await read(found.attempt_id, self.tail)
        at_end = self.tail + len(data) >= found.log_bytes
        return whole_characters(data, final=found.ended and at_end)

    def _put(self, offset: int, text: str) -> None:
        for reader in self.readers:
            if not reader.is_level:
                continue
            try:
                reader.queue.put_nowait((offset, text))
            except asyncio.QueueFull:
                reader.is_level = False  # it will read the store itself
                while not reader.queue.empty():
                    reader.queue.get_nowait()


def log_frame(offset: int, data: bytes, attempt: int) -> str:
    return frame("log", offset=offset, next=offset + len(data), data=data.decode(errors="replace"), attempt=attempt)


_feeds: dict[tuple[int, UUID, int | None], Feed] = {}


def feed_of(experiment: UUID, attempt: int | None) -> Feed:
    """Return the running feed, starting it for the first reader."""
    key = (id(asyncio.get_running_loop()), experiment, attempt)
    if key not in _feeds:
        _feeds[key] = Feed(experiment, attempt)
        _feeds[key].task = asyncio.create_task(_feeds[key].run())
    return _feeds[key]


def leave(feed: Feed, reader: Reader) -> None:
    """Take a reader off; the last one ends the feed."""
    feed.readers.discard(reader)
    if feed.readers:
        return
    for key in [key for key, known in _feeds.items() if known is feed]:
        del _feeds[key]
    if feed.task is not None:
        feed.task.cancel()
