"""Which app is told of a workload's state change: plain functions, called inside the transition's transaction."""

from collections.abc import Callable

from apps.compute.models import Workload

Handler = Callable[[Workload, str], None]
_handlers: list[Handler] = []


def on_workload_change(handler: Handler) -> Handler:
    """Register `handler(workload, from_state)`; it writes its own rows and must not call a backend."""
    _handlers.append(handler)
    return handler


def tell(workload: Workload, from_state: str) -> None:
    for handler in _handlers:
        handler(workload, from_state)
