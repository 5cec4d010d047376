"""Taking what training logs and delivering it from a background thread.

Calls cost microseconds: they put a tuple into a buffer. The thread sends columnar batches with an id of their own. When
the platform does not answer, records go to the spool file instead (so memory stays bounded and training never waits for
a platform that is down), and from there to the platform as soon as it is back. When training logs faster than the
thread can send, the caller waits (back-pressure) once `MAX_PENDING` points are buffered. Nothing is dropped silently.
"""

import contextlib
import os
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fathom.delivery import Delivery
from fathom.records import BATCH_NAMES, BATCH_POINTS, Point, batch_record

MAX_PENDING = 100_000
MAX_RECORDS = 100
GATHER_SECONDS = 0.5
JOIN_SECONDS = 3.0


class Recorder:
    """The buffer and the thread of one run. Safe to use from several threads, from signal handlers and after a fork."""

    def __init__(self, delivery: Delivery) -> None:
        self._delivery = delivery
        self._reset()
        os.register_at_fork(after_in_child=self._after_fork)

    def add_points(self, points: Sequence[Point]) -> None:
        """Take metric points; waits while the buffer is full."""
        with self._changed:
            self._make_room(self._points, MAX_PENDING)
            before = len(self._points)
            self._points.extend(points)
            if before == 0 or before < BATCH_POINTS <= len(self._points):
                self._wake()

    def add_names(self, kind: str, values: Mapping[str, str]) -> None:
        """Take `params` or `tags`; waits while the buffer is full."""
        with self._changed:
            self._make_room(self._names, MAX_PENDING)
            self._names.extend([(kind, key, value) for key, value in values.items()])
            self._wake()

    def add_record(self, record: dict[str, Any]) -> None:
        """Take an artifact's or the run's end record."""
        with self._changed:
            self._make_room(self._records, MAX_RECORDS)
            self._records.append(record)
            self._wake()

    def add_artifact(self, source: Path, name: str, content_type: str) -> None:
        """Copy the file now (training may go on writing to it), upload it later."""
        record = self._delivery.snapshot(source, name, content_type)
        if record is not None:
            self.add_record(record)

    def flush(self, timeout: float, *, hard: bool = False) -> bool:
        """Wait until all is delivered (or, without a platform, written to the file).

        Returns False after `timeout` seconds without progress; with `hard`, after `timeout` seconds.
        """
        with self._changed:
            self._urgent += 1
            self._delivery.hurry()
            started = time.monotonic()
            try:
                while not self._settled:
                    if not self._ensure_thread():
                        self._work()
                        break
                    self._changed.notify_all()
                    since = started if hard else max(started, self._delivery.moved_at())
                    left = since + timeout - time.monotonic()
                    if left <= 0:
                        break
                    self._changed.wait(min(left, 0.5))
            finally:
                self._urgent -= 1
            return self._settled

    def close(self, timeout: float, *, hard: bool = False) -> None:
        """Flush, write to the file what could not be delivered, and end the thread."""
        self.flush(timeout, hard=hard)
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        thread = self._thread
        if thread is not None:
            thread.join(JOIN_SECONDS)
        with self._changed:
            if self._buffered or self._busy:  # the thread hangs in a request: take the rest from it
                self._delivery.rescue(self._rest())
        self._delivery.close()

    # In the caller, with the lock

    def _reset(self) -> None:
        self._changed = threading.Condition(threading.RLock())  # re-entrant: a signal handler may flush
        self._points: deque[Point] = deque()
        self._names: deque[tuple[str, str, str]] = deque()
        self._records: deque[dict[str, Any]] = deque()
        self._thread: threading.Thread | None = None
        self._busy = False
        self._closing = False
        self._urgent = 0

    def _after_fork(self) -> None:
        """A child begins with an empty buffer, its own thread, file and connections: the parent delivers its part."""
        self._reset()
        self._delivery = self._delivery.for_child()

    def _make_room(self, buffer: deque[Any], limit: int) -> None:
        while len(buffer) >= limit and self._ensure_thread():
            self._changed.notify_all()
            self._changed.wait(1.0)

    def _wake(self) -> None:
        if self._ensure_thread():
            self._changed.notify_all()
        else:
            self._work()

    def _ensure_thread(self) -> bool:
        """Whether a thread delivers. At interpreter shutdown none can be started: then the caller does the work."""
        if self._thread is not None and self._thread.is_alive():
            return True
        if self._closing:
            return False
        try:
            self._thread = threading.Thread(target=self._run, name="fathom-tracking", daemon=True)
            self._thread.start()
        except RuntimeError:
            self._thread = None
            return False
        return True

    @property
    def _buffered(self) -> bool:
        return bool(self._points or self._names or self._records)

    @property
    def _settled(self) -> bool:
        return not (self._buffered or self._busy or self._delivery.owes)

    # In the thread

    def _run(self) -> None:
        while self._wait_for_work():
            try:
                self._work()
            except Exception as error:  # noqa: BLE001 -- the thread's outermost level: tracking must not die of one record
                self._delivery.lose(f"unexpected {type(error).__name__}: {error}")

    def _wait_for_work(self) -> bool:
        """Sleep until there is something to do. Returns False when the thread should end."""
        with self._changed:
            while not self._buffered:
                pause = self._delivery.due_in()
                if pause is not None and pause <= 0:
                    return True
                if self._closing:
                    return False
                self._changed.wait(pause)
            gathered = time.monotonic() + GATHER_SECONDS
            while not (self._urgent or self._closing or self._records or len(self._points) >= BATCH_POINTS):
                left = gathered - time.monotonic()
                if left <= 0:
                    break
                self._changed.wait(left)
            return True

    def _work(self) -> None:
        """Deliver all that is buffered, then what the file still holds if it is time to try."""
        with self._changed:
            self._busy = True
        try:
            while (record := self._take()) is not None:
                self._delivery.deliver(record)
            self._delivery.catch_up(urgent=bool(self._urgent))
        finally:
            with self._changed:
                self._busy = False
                self._changed.notify_all()

    def _take(self) -> dict[str, Any] | None:
        with self._changed:
            if self._points or self._names:
                points = [self._points.popleft() for _ in range(min(BATCH_POINTS, len(self._points)))]
                names = [self._names.popleft() for _ in range(min(BATCH_NAMES, len(self._names)))]
                self._changed.notify_all()
                return batch_record(points, names)
            with contextlib.suppress(IndexError):
                record = self._records.popleft()
                self._changed.notify_all()
                return record
            return None

    def _rest(self) -> list[dict[str, Any]]:
        rest = []
        while (record := self._take()) is not None:
            rest.append(record)
        return rest
