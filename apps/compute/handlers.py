"""Which app is told of a workload's state change, and of what workloads use: plain functions.

Those of a state change are called inside the transition's transaction.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from apps.compute.models import Workload

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
