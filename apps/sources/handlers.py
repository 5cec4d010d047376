"""Which app above is told that code was fetched: a plain function, called in the transaction that says so."""

from collections.abc import Callable

from apps.sources.models import Fetch

Handler = Callable[[Fetch], None]
_handlers: list[Handler] = []


def on_fetched(handler: Handler) -> Handler:
    """Register `handler(fetch)`, which writes its own rows; in `AppConfig.ready`."""
    _handlers.append(handler)
    return handler


def tell(fetch: Fetch) -> None:
    for handler in _handlers:
        handler(fetch)
