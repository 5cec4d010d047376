"""Every route of every door, read from where it is really served."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.urls import URLPattern, URLResolver, get_resolver

_UNSERVED = {"options", "trace", "head"}


@dataclass(frozen=True)
class Route:
    """One method of one path. `target` is the class that serves it, `action` what a class calls it."""

    door: str  # "page" | "api" | "admin" | "websocket"
    method: str
    path: str
    name: str
    target: Any
    action: str = ""

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


def patterns(resolver: Any = None, prefix: str = "", namespace: str = "") -> Iterator[tuple[str, str, Any]]:
    """Yield path, name and callback of everything in the URLconf."""
    for entry in (resolver or get_resolver()).url_patterns:
        path = prefix + str(entry.pattern).lstrip("^")
        if isinstance(entry, URLResolver):
            inner = f"{namespace}{entry.namespace}:" if entry.namespace else namespace
            yield from patterns(entry, path, inner)
        elif isinstance(entry, URLPattern):
            yield f"/{path}", f"{namespace}{entry.name or ''}", entry.callback


def routes() -> list[Route]:
    """List what HTTP serves through Django."""
    return [route for path, name, callback in patterns() for route in _of(path, name, callback)]


def _of(path: str, name: str, callback: Any) -> Iterator[Route]:
    if hasattr(callback, "actions"):  # a view set: method -> action
        for method, action in sorted(callback.actions.items()):
            if method not in _UNSERVED:
                yield Route("api", method.upper(), path, name, callback.cls, action)
        return
    door = "admin" if name.startswith("admin:") else "api" if hasattr(callback, "cls") else "page"
    target = getattr(callback, "cls", None) or getattr(callback, "view_class", None) or callback
    if door == "admin":
        yield Route(door, "GET", path, name, getattr(callback, "model_admin", None) or target)
        return
    methods = [m for m in getattr(target, "http_method_names", ["get"]) if m not in _UNSERVED and hasattr(target, m)]
    for method in methods or ["get"]:
        yield Route(door, method.upper(), path, name, target, method)


def sockets() -> list[Route]:
    """List the websocket routes."""
    from config.routing import websocket_urlpatterns

    return [
        Route("websocket", "WS", f"/{entry.pattern}", entry.name or "", entry.callback.consumer_class)
        for entry in websocket_urlpatterns
    ]
