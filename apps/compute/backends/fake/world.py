"""A cluster that exists only in memory, with a clock that the test turns or that runs by itself."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import ClassVar

from apps.compute.backends.masking import Masker
from apps.compute.contract import Phase, WorkloadSpec

EPOCH = datetime(2030, 1, 1, tzinfo=UTC)
TERMINATED = 15
KILLED = 9


@dataclass(frozen=True, slots=True)
class FakePlan:
    """What a workload will do when it is left alone."""

    start_after: timedelta = timedelta()
    duration: timedelta | None = timedelta()  # None: until it is stopped
    exit_code: int = 0
    signal: int | None = None
    oom: bool = False
    start_failure: str = ""  # a sentence; the workload fails instead of starting
    ignores_stop: bool = False  # ends by force only
    vanish_after: timedelta | None = None  # gone without a verdict, that long after it was submitted
    log: bytes = b""  # said at the start
    cpus: float | None = None  # used all the time; None: nobody can tell
    memory_bytes: int = 0


@dataclass(slots=True)
class FakeWorkload:
    """One name on the fake cluster."""

    plan: FakePlan
    spec: WorkloadSpec | None  # None: barred before it was submitted
    submitted_at: datetime
    log: bytearray = field(default_factory=bytearray)
    truncated: bool = False
    vanished_at: datetime | None = None
    masker: Masker = field(default_factory=lambda: Masker(()))
    stop_at: datetime | None = None
    force_at: datetime | None = None

    @property
    def starts_at(self) -> datetime:
        return self.submitted_at + self.plan.start_after


@dataclass(frozen=True, slots=True)
class Ending:
    """How and when a workload ends."""

    at: datetime
    phase: Phase
    reason: str
    exit_code: int | None = None
    signal: int | None = None


class FakeWorld:
    """The cluster itself. Several `FakeBackend`s may look at one world, from several threads.

    Time stands still until `advance`; a world made with `live=True` has the real clock instead. `submits` counts what
    was asked for and `starts` what was begun, so that a test can show that many submits are one start.
    """

    _named: ClassVar[dict[str, "FakeWorld"]] = {}
    _naming: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self, *, live: bool = False) -> None:
        self.lock = threading.RLock()
        self.workloads: dict[str, FakeWorkload] = {}
        self.submits: dict[str, int] = {}
        self.starts: dict[str, int] = {}
        self.environments: set[str] = set()  # keys of those that stand
        self.builds: list[str] = []  # keys, as they were built
        self.locks = 0  # how many were made
        self.is_reachable = True
        self.reject: Callable[[WorkloadSpec], str] = lambda _spec: ""  # returns a sentence to refuse with
        self.plan: Callable[[str, WorkloadSpec], FakePlan | None] = lambda _name, _spec: None
        self._live = live
        self._now = EPOCH

    @classmethod
    def named(cls, name: str, *, live: bool = False) -> "FakeWorld":
        """Return the world of that name in this process; make it if need be."""
        with cls._naming:
            return cls._named.setdefault(name, cls(live=live))

    @property
    def now(self) -> datetime:
        return datetime.now(UTC) if self._live else self._now

    def advance(self, amount: timedelta) -> None:
        """Let time pass. A live world cannot be turned."""
        if self._live:
            msg = "a live world has the real clock"
            raise RuntimeError(msg)
        with self.lock:
            self._now += amount

    @contextmanager
    def unreachable(self) -> Iterator[None]:
        """Be a cluster that cannot be asked, for a while. What runs there runs on."""
        self.is_reachable = False
        try:
            yield
        finally:
            self.is_reachable = True

    def say(self, name: str, data: bytes) -> None:
        """Let the workload write `data`; its secrets are masked, its log limit holds."""
        with self.lock:
            workload = self.workloads[name]
            spec = workload.spec
            if spec is not None:
                _append(workload, workload.masker.feed(data), spec.max_log_bytes)

    def vanish(self, name: str) -> None:
        """Let the workload be gone, without a verdict."""
        with self.lock:
            self.workloads[name].vanished_at = self.now

    def read_log(self, workload: FakeWorkload, *, is_over: bool) -> bytes:
        """Return the whole log as it is now; when it is over, with what masking had held back."""
        with self.lock:
            if is_over and workload.spec is not None:
                _append(workload, workload.masker.close(), workload.spec.max_log_bytes)
            return bytes(workload.log)

    def ending(self, workload: FakeWorkload) -> Ending | None:
        """Return how the workload ends as things stand, whenever that is; None for "not by itself"."""
        if workload.spec is None:
            return Ending(workload.submitted_at, Phase.FAILED, "Stopped")
        endings = [e for e in (_own_end(workload), _time_limit(workload), _stopped(workload)) if e is not None]
        return min(endings, key=lambda e: e.at) if endings else None

    def has_vanished(self, workload: FakeWorkload) -> bool:
        """Say whether it is gone without a verdict: vanished before it could end."""
        after = workload.plan.vanish_after
        planned = None if after is None else workload.submitted_at + after
        times = [at for at in (workload.vanished_at, planned) if at is not None and at <= self.now]
        ending = self.ending(workload)
        return bool(times) and (ending is None or min(times) < ending.at)


def _append(workload: FakeWorkload, data: bytes, limit: int) -> None:
    if workload.truncated or not data:
        return
    room = limit - len(workload.log)
    workload.log += data[:room]
    if len(data) > room:
        workload.truncated = True
        workload.log += b"\n[fake] the log is over its limit; the rest is not kept\n"


def _own_end(workload: FakeWorkload) -> Ending | None:
    plan = workload.plan
    if plan.start_failure:
        return Ending(workload.starts_at, Phase.FAILED, "StartFailed", 127)
    if plan.duration is None:
        return None
    at = workload.starts_at + plan.duration
    if plan.oom:
        return Ending(at, Phase.FAILED, "OOMKilled", 128 + KILLED, KILLED)
    if plan.signal is not None:
        return Ending(at, Phase.FAILED, "Signal", 128 + plan.signal, plan.signal)
    if plan.exit_code:
        return Ending(at, Phase.FAILED, "ExitCode", plan.exit_code)
    return Ending(at, Phase.SUCCEEDED, "Completed", 0)


def _time_limit(workload: FakeWorkload) -> Ending | None:
    limit = workload.spec.timeout if workload.spec else None
    if limit is None:
        return None
    return Ending(workload.starts_at + limit, Phase.FAILED, "TimedOut", 128 + TERMINATED, TERMINATED)


def _stopped(workload: FakeWorkload) -> Ending | None:
    if workload.stop_at is None or workload.force_at is None:
        return None
    if workload.stop_at < workload.starts_at:
        return Ending(workload.stop_at, Phase.FAILED, "Stopped")
    if workload.plan.ignores_stop:
        return Ending(workload.force_at, Phase.FAILED, "Stopped", 128 + KILLED, KILLED)
    return Ending(workload.stop_at, Phase.FAILED, "Stopped", 128 + TERMINATED, TERMINATED)
