"""The second origin: what users have made is served from here, without the platform's cookies.

The application is `apps.tracking.content`; this module only gives it a lifespan.
"""

from config.threads import Receive, Scope, Send


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer one request of the content origin."""
    if scope["type"] == "lifespan":
        await _lifespan(receive, send)
        return
    from apps.tracking import content  # noqa: PLC0415 -- needs the apps loaded, which config.asgi does

    await content.application(scope, receive, send)


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
