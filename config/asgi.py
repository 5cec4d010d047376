"""The platform's web application: native routes and websockets on the event loop, Django in threads beside them."""

import os

from django.conf import settings
from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.local")
_django = get_wsgi_application()  # loads the apps, which everything below needs

from apps.core import asyncdb  # noqa: E402 -- after the apps are loaded
from apps.mlflow import hot as mlflow  # noqa: E402 -- as above
from apps.tracking import hot  # noqa: E402 -- as above
from config import routing  # noqa: E402 -- as above
from config.health import READYZ  # noqa: E402 -- as above
from config.native import HEALTHZ, Native, Route  # noqa: E402 -- as above
from config.threads import Receive, Scope, Send, ThreadedDjango  # noqa: E402 -- as above

NATIVE_ROUTES: list[Route] = [HEALTHZ, READYZ, *(Route(*route) for route in (*hot.ROUTES, *mlflow.ROUTES))]

_threads = ThreadedDjango(_django, threads=settings.FATHOM_WEB_THREADS, max_body=settings.FATHOM_MAX_BODY_BYTES)
_http = Native(NATIVE_ROUTES, _threads)


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer one request, carry one websocket, or take part in the start and the end of the server."""
    match scope["type"]:
        case "http":
            await _http(scope, receive, send)
        case "websocket":
            await routing.application(scope, receive, send)
        case _:
            await _lifespan(receive, send)


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        elif message["type"] == "lifespan.shutdown":
            _threads.close()
            mlflow.close()
            await asyncdb.close()
            await send({"type": "lifespan.shutdown.complete"})
            return
