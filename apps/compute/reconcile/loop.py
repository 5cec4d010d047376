"""The threads of a worker: one moves workloads, one copies logs, one seals the audit trail, one keeps house,
one the store of artifacts, and one each what other apps have registered.

All are right without any hint.
"""

import os
import socket
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from functools import partial
from uuid import UUID

import structlog
from django.conf import settings
from django.db import (
    InterfaceError,
    OperationalError,
    close_old_connections,
    connections,
)

from apps.audit.sealing import Sealer
from apps.budgets import services as budgets
from apps.compute import handlers, held
from apps.compute.reconcile import charge, keep, measure
from apps.compute.reconcile.claim import hold_loop, note_loop
from apps.compute.reconcile.collect import Collector
from apps.compute.reconcile.turn import run_turn
from apps.compute.reconcile.watch import Watch
from apps.core import wakeup

logger = structlog.get_logger(__name__)

_POLL_SECONDS = 0.25  # between two turns without a hint
_IDLE_POLL_SECONDS = 1.0
_FRUITLESS, _FRUITLESS_PAUSE_SECONDS = 3, 0.1
_STARTERS = 4  # starts at the same time: a start mostly waits for the new process
_HOUSE = {  # loop -> (function, seconds between two runs)
    "health": (keep.check_health, 15.0),
    "sweep": (keep.sweep, 30.0),
    "audit": (keep.audit_books, 60.0),
    "measure": (measure.measure_running, float(settings.MEASURE_SECONDS)),
    "shares": (keep.count_shares, 30.0),
    "purge": (keep.purge, 3600.0),
    "charge": (charge.charge_running, float(settings.CHARGE_SECONDS)),
    "budgets": (charge.keep_budgets, 30.0),
    "alerts": (budgets.deliver_alerts, 10.0),
    "ledger": (charge.audit_money, 300.0),
    "held": (held.settle, 5.0),  # whoever ends a build does it at once
}
_STORE: dict[str, tuple[Callable[[], str], float]] = {
    "garbage": (keep.collect_garbage, 3600.0)
}  # walks over all that is stored: nothing else waits for it


class Reconciler:
    """Runs the loops in threads until `stop`. One per worker process; any number of processes."""

    def __init__(self) -> None:
        self.owner = f"{socket.gethostname()}:{os.getpid()}"[:80]
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._collector = Collector()
        self._watch = Watch()
        self._sealer = Sealer()
        self._threads = [
            threading.Thread(target=self._forever, args=(work,), name=name, daemon=True)
            for name, work in (
                ("due", self._due),
                ("logs", self._logs),
                ("seal", self._seal),
                ("house", partial(self._keep, _HOUSE)),
                ("store", partial(self._keep, _STORE)),
                *(
                    (loop.name, partial(self._keep, {loop.name: (loop.work, loop.every_seconds)}))
                    for loop in handlers.extra_loops()
                ),
            )
        ]
        if settings.HINTS_ENABLED:
            heard = ("compute", self.wake, self._stop)
            self._threads.append(threading.Thread(target=wakeup.listen, args=heard, name="hints", daemon=True))
        self._ran: dict[str, float] = {}
        self._fruitless = 0  # hints in a row that led to nothing
        self._pool = ThreadPoolExecutor(_STARTERS, thread_name_prefix="start")

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self, timeout: float = 5.0) -> None:
        """Ask the threads to end after their present step and wait for them."""
        self._stop.set()
        self._wake.set()
        for thread in self._threads:
            thread.join(timeout)
        self._end_starters(1.0)

    def _end_starters(self, timeout: float) -> None:
        """Let each starter close its connection; one that is still at work is not waited for."""
        meeting = threading.Barrier(_STARTERS)  # so that each takes one farewell, not one of them all

        def leave() -> None:
            with suppress(threading.BrokenBarrierError):
                meeting.wait(timeout)
            connections.close_all()

        wait([self._pool.submit(leave) for _ in range(_STARTERS)], timeout)
        self._pool.shutdown(wait=False, cancel_futures=True)

    def wake(self) -> None:
        """Take a turn now: a hint has come."""
        self._wake.set()

    def _forever(self, work: Callable[[], None]) -> None:
        pause = 0.2
        while not self._stop.is_set():
            try:
                work()
                pause = 0.2
            except (OperationalError, InterfaceError) as error:
                logger.warning("database_unavailable", thread=threading.current_thread().name, error=str(error).strip())
                connections.close_all()
                self._stop.wait(pause)
                pause = min(5.0, pause * 2)
            except Exception:  # the outermost level of a loop: a bug must not end it
                logger.exception("loop_failed", thread=threading.current_thread().name)
                self._stop.wait(1.0)
            close_old_connections()
        connections.close_all()

    def _due(self) -> None:
        changed = self._sleep()
        was_hint = self._wake.is_set()
        self._wake.clear()
        if changed:
            self._turn(changed)
        found_work = self._turn(None)
        self._fruitless = self._fruitless + 1 if was_hint and not found_work else 0
        if self._fruitless >= _FRUITLESS:  # a burst of submissions that all have to wait
            self._stop.wait(_FRUITLESS_PAUSE_SECONDS)

    def _turn(self, ids: list[UUID] | None) -> bool:
        turn = run_turn(self.owner, ids=ids, pool=self._pool)
        self._watch.update(turn.looked_at, turn.present)
        if turn.present:
            self._collector.expect_news()
        return turn.did_something

    def _sleep(self) -> list[UUID]:
        """Wait for a hint, the next poll, or something that changed on a backend; return what changed."""
        until = time.monotonic() + (_IDLE_POLL_SECONDS if self._watch.is_idle else _POLL_SECONDS)
        while not self._stop.is_set():
            changed = self._watch.changed()
            left = until - time.monotonic()
            if changed or left <= 0:
                return changed
            if self._wake.wait(left if self._watch.is_idle else min(left, self._watch.pause)):
                return []
        return []

    def _logs(self) -> None:
        self._stop.wait(min(self._collector.turn(), 0.05))

    def _seal(self) -> None:
        self._stop.wait(self._sealer.turn())

    def _keep(self, loops: Mapping[str, tuple[Callable[[], str], float]]) -> None:
        for name, (work, every) in loops.items():
            if time.monotonic() - self._ran.get(name, float("-inf")) < every or self._stop.is_set():
                continue
            if hold_loop(name, self.owner, seconds=max(30.0, every)):
                note_loop(name, work())
            self._ran[name] = time.monotonic()
        self._stop.wait(0.5)


_running: Reconciler | None = None


def start_here() -> Reconciler:
    """Start the loops of this process, once."""
    global _running  # noqa: PLW0603 -- one set of loops per process
    if _running is None:
        _running = Reconciler()
        _running.start()
    return _running


def wake_here() -> None:
    """Pass a hint on to this process's loops, if it has any."""
    if _running is not None:
        _running.wake()


def stop_here() -> None:
    """End this process's loops; jobs go on."""
    global _running  # noqa: PLW0603 -- as above
    if _running is not None:
        _running.stop()
        _running = None
