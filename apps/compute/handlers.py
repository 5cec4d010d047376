"""Which app is told of a workload's state change, and of what workloads use; which prepares environments and fetches code;
whose loops a worker runs besides its own. Plain functions.

Those of a state change are called inside the transition's transaction.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from apps.compute.models import Cluster, Workload

Handler = Callable[[Workload, str], None]
_handlers: list[Handler] = []


@dataclass(frozen=True, slots=True)
class Sample:
    """What one attempt used lately. `cpus`: on average since the look before, or since the start; None: not known."""

    subject: str  # whose workload it is: "run:<id>"
    attempt_no: int
    at: datetime
    seconds: int  # since its start
    cpus: float | None
    memory_bytes: int | None


Listener = Callable[[Sequence[Sample]], None]
_listeners: list[Listener] = []


def on_workload_change(handler: Handler) -> Handler:
    """Register `handler(workload, from_state)`; it writes its own rows and must not call a backend."""
    _handlers.append(handler)
    return handler


def tell(workload: Workload, from_state: str) -> None:
    for handler in _handlers:
        handler(workload, from_state)


def on_samples(listener: Listener) -> Listener:
    """Register `listener(samples)`, which is told every few seconds what runs and uses."""
    _listeners.append(listener)
    return listener


def tell_samples(samples: Sequence[Sample]) -> None:
    for listener in _listeners:
        listener(samples)


@dataclass(frozen=True, slots=True)
class Prepared:
    """How something that work needs stands. Without a key it has to be waited for, or, if it `has_failed`, cannot be had."""

    key: str = ""
    said: str = ""  # a sentence: what is waited for, or why it failed
    has_failed: bool = False


class Environments(Protocol):
    """Who prepares environments. `wanted` is what the owner of the work put into its request; compute does not read it."""

    def prepare(self, wanted: Mapping[str, str], cluster: Cluster, *, anew: bool = False) -> Prepared:
        """Ask for it; it is built when it is not there yet. With `anew` also one that failed before is tried again."""

    def forget(self, wanted: Mapping[str, str], cluster: Cluster) -> None:
        """Take note that the cluster does not have it any more; it is built again when it is asked for."""


_environments: list[Environments] = []


def provide_environments(provider: Environments) -> None:
    """Register who prepares environments; once, in `AppConfig.ready`."""
    _environments[:] = [provider]


def environments() -> Environments:
    return _environments[0]


class Sources(Protocol):
    """Who fetches code. `wanted` is what the owner of the work put into its request; compute does not read it."""

    def prepare(self, wanted: Mapping[str, str], *, anew: bool = False) -> Prepared:
        """Say how it stands. With `anew` what failed before is tried again."""

    def archive(self, wanted: Mapping[str, str]) -> dict[str, Any]:
        """Return what was fetched: sha256, format, size_bytes."""


_sources: list[Sources] = []


def provide_sources(provider: Sources) -> None:
    """Register who fetches code; once, in `AppConfig.ready`."""
    _sources[:] = [provider]


def sources() -> Sources:
    return _sources[0]


@dataclass(frozen=True, slots=True)
class ExtraLoop:
    """Work of another app that one worker at a time does, every so many seconds, in a thread of its own."""

    name: str
    work: Callable[[], str]  # returns what it has to say
    every_seconds: float


_loops: list[ExtraLoop] = []


def run_loop(loop: ExtraLoop) -> None:
    """Have the workers run `loop`; in `AppConfig.ready`."""
    _loops.append(loop)


def extra_loops() -> Sequence[ExtraLoop]:
    return _loops
