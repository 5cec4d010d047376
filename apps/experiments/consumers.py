import asyncio
from typing import Any
from urllib.parse import parse_qs
from uuid import UUID

from django.db.models import QuerySet
from typing_extensions import override

from apps.access.consumers import GuardedConsumer
from apps.experiments import following
from apps.experiments.logs import whole_characters
from apps.experiments.models import Experiment

_BAD_REQUEST = 1008
_DIGITS = 16


class LogConsumer(GuardedConsumer):
    """Streams an experiment's log and state: history from `offset` on, then live. To resume, open it with the last `next`."""

    policy_action = "logs"
    _pump: "asyncio.Task[None] | None" = None
    _feed: following.Feed | None = None
    _reader: following.Reader | None = None

    @override
    def find(self) -> QuerySet[Any]:
        key: UUID = self.scope["url_route"]["kwargs"]["experiment"]
        rows: QuerySet[Any] = Experiment.objects.visible_to(self.scope["user"], "view").live().filter(pk=key)
        return rows

    @override
    async def opened(self) -> None:
        query = parse_qs(self.scope["query_string"].decode("latin-1"))
        offset, attempt = _number(query, "offset", 0), _number(query, "attempt", None)
        if offset is None or (attempt is None and "attempt" in query):
            await self.close(_BAD_REQUEST)
            return
        self._feed = following.feed_of(self.found.pk, attempt)
        self._reader = following.Reader(offset)
        self._feed.readers.add(self._reader)
        self._pump = asyncio.create_task(self._follow(self._feed, self._reader))

    @override
    async def disconnect(self, code: int) -> None:
        await super().disconnect(code)
        if self._pump is not None:
            self._pump.cancel()
        if self._feed is not None and self._reader is not None:
            following.leave(self._feed, self._reader)

    async def _follow(self, feed: following.Feed, reader: following.Reader) -> None:
        await feed.ready.wait()
        while True:
            if not reader.is_level:
                await self._catch_up(feed, reader)
            offset, text = await reader.queue.get()
            await self.send(text_data=text)
            reader.offset = offset

    async def _catch_up(self, feed: following.Feed, reader: following.Reader) -> None:
        """Send the store's bytes from the reader's place up to the feed's, then join the feed at exactly that place."""
        now = feed.now
        if now is None:
            await self.close(_BAD_REQUEST)
            return
        if reader.attempt and reader.attempt != now.attempt:
            reader.offset = 0
        reader.attempt = now.attempt
        while reader.offset < feed.tail and now.attempt_id is not None:
            data = (await following.read(now.attempt_id, reader.offset))[: feed.tail - reader.offset]
            data = whole_characters(data, final=reader.offset + len(data) >= feed.tail)
            if not data:
                break
            await self.send(text_data=following.log_frame(reader.offset, data, now.attempt))
            reader.offset += len(data)
        reader.is_level = True  # no await since the last look at feed.tail: nothing can be missed or doubled
        await self._tell(feed)

    async def _tell(self, feed: following.Feed) -> None:
        now = feed.now
        if now is None:
            return
        await self.send(text_data=following.frame("state", **now.state))
        if now.ended and feed.tail >= now.log_bytes:
            await self.send(text_data=following.frame("eof", attempt=now.attempt, total_bytes=now.log_bytes))


def _number(query: dict[str, list[str]], name: str, default: int | None) -> int | None:
    text = query.get(name, [""])[0]
    if not text:
        return default
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _DIGITS else None
