"""HTTP routes that do without Django's request: ASGI handlers on the event loop, for the hot paths only.

A handler gets the parts of the path as keyword arguments. It answers for authentication and policy itself, through the
same functions as everybody else.
"""

import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple

from config.threads import Receive, Scope, Send

Handler = Callable[..., Awaitable[None]]


class Route(NamedTuple):
    method: str
    path: re.Pattern[str]  # matched against the whole path
    handler: Handler


class Native:
    """Answers the requests that have a native route, and hands on the others."""

    def __init__(self, routes: Sequence[Route], otherwise: Callable[[Scope, Receive, Send], Awaitable[None]]) -> None:
        self._routes = tuple(routes)
        self._otherwise = otherwise

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        path: str = scope["path"]
        method: str = scope["method"]
        for route in self._routes:
            if route.method == method and (match := route.path.fullmatch(path)):
                await route.handler(scope, receive, send, **match.groupdict())
                return
        await self._otherwise(scope, receive, send)


async def healthz(scope: Scope, receive: Receive, send: Send, **_: Any) -> None:
    """Say that the process is alive: it asks nobody, so a database that is down restarts no web process."""
    del scope, receive
    body = b'{"status":"ok"}'
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


HEALTHZ = Route("GET", re.compile(r"/healthz"), healthz)
