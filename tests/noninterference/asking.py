"""Every address that can be read, as a curious person would try it, and what it answers."""

import re
from collections.abc import Iterator
from typing import Any
from uuid import UUID

from asgiref.sync import async_to_sync
from asgiref.testing import ApplicationCommunicator
from django.db import transaction
from django.test import Client
from django.urls import NoReverseMatch, reverse

from apps.access.principal import SYSTEM
from apps.accounts import services as accounts
from apps.accounts.models import User
from config import asgi
from tests.architecture.routes import Route, routes
from tests.noninterference.tenants import Tenant
from tests.people import browser_of

READERS = ("viewer", "maintainer")
QUERIES = ("", "?q=plover", "?state=queued", "?page_size=1", "?team=b-team")

# What differs between any two answers: ids of the request, one-time form tokens, how long ago something was.
_CHANGING = re.compile(
    rb'"request_id":"[^"]*"|<code>[0-9a-f-]{36}</code>|[A-Za-z0-9]{64}|ticket=[\w.-]+|"last_(used_at|seen_at|login)":"[^"]*"'
    rb'|title="[^"]*"|datetime="[^"]*"|\d+(\.\d+)? ?(seconds?|minutes?|s|ms|min|h)\b( ago)?|just now|[Nn]ow\b'
)
Key = tuple[str, str, str, str]  # reader, door, route, what was put into it
Answer = tuple[int, bytes]


def readable() -> list[Route]:
    return [route for route in routes() if route.door in {"page", "api"} and route.method == "GET"]


def answers(tenant: Tenant, strangers: list[UUID]) -> dict[Key, Answer]:
    """Ask every readable route as everybody of `tenant`, about its own and about `strangers`."""
    found: dict[Key, Answer] = {}
    for reader in READERS:
        user = tenant.people[reader]
        for door, client in (("session", _browser(user)), ("token", script_of(user))):
            for route in readable():
                if door == "session" or route.door == "api":
                    found |= {
                        (reader, door, route.name, slot): ask(client, url, strangers)
                        for slot, url in _addresses(route, tenant, strangers)
                    }
        for number, stranger in enumerate(strangers):
            code = socket_code(f"/ws/experiments/{stranger}/logs/", bearer(user))
            found[reader, "websocket", "logs", f"stranger {number}"] = (code, b"")
    return found


def script_of(user: User) -> Client:
    return Client(headers={"Authorization": f"Bearer {bearer(user)}"})


_bearers: dict[User, str] = {}
_browsers: dict[User, Client] = {}


def forget() -> None:
    """Begin anew: the people of an earlier test are gone."""
    _bearers.clear()
    _browsers.clear()


def _browser(user: User) -> Client:
    """Return a browser of `user`: always the same, since a new session would be something new to be read."""
    if user not in _browsers:
        _browsers[user] = browser_of(user)
    return _browsers[user]


def bearer(user: User) -> str:
    """Return a token of `user`: one, since a new one would be something new to be read."""
    if user not in _bearers:
        _bearers[user] = accounts.issue_token(user, by=SYSTEM, name="reader")[1]
    return _bearers[user]


def ask(client: Client, url: str, strangers: list[UUID]) -> Answer:
    with transaction.atomic():
        answer = client.get(url)
        body = b"".join(answer.streaming_content) if answer.streaming else answer.content
        transaction.set_rollback(True)
    for stranger in strangers:
        body = body.replace(str(stranger).encode(), b"")
    return answer.status_code, _CHANGING.sub(b"", body)


def without_ids(body: bytes) -> bytes:
    return re.sub(rb'[0-9a-f]{8}-[0-9a-f-]{27}|"\w+_at":"[^"]*"', b"", _CHANGING.sub(b"", body))


def socket_code(path: str, token: str) -> int:
    """Open a websocket; return its close code, 0 when it stays open."""
    scope = {
        "type": "websocket", "path": path, "raw_path": path.encode(), "query_string": b"", "subprotocols": [],
        "headers": [(b"authorization", f"Bearer {token}".encode())], "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80), "scheme": "ws", "root_path": "",
    }  # fmt: skip

    async def look() -> int:
        peer = ApplicationCommunicator(asgi.application, scope)
        await peer.send_input({"type": "websocket.connect"})
        message = await peer.receive_output(10)
        if message["type"] == "websocket.accept":
            message = await peer.receive_output(10)
        await peer.send_input({"type": "websocket.disconnect", "code": 1000})
        await peer.wait(10)
        return int(message["code"]) if message["type"] == "websocket.close" else 0

    found: int = async_to_sync(look)()
    return found


def _addresses(route: Route, tenant: Tenant, strangers: list[UUID]) -> Iterator[tuple[str, str]]:
    names = re.findall(r"<(?:\w+:)?(\w+)>", route.path)
    if not names:
        yield from ((query, reverse(route.name) + query) for query in QUERIES)
        return
    slots = {"own": tenant.experiments[0].pk, **{f"stranger {n}": pk for n, pk in enumerate(strangers)}, "number": 1}
    for slot, value in slots.items():
        other = "a" if slot == "own" else "b"
        words = {"slug": f"{other}-team", "name": "fake", "username": f"{other}-member", "path": "out/x.txt"}
        chosen: dict[str, Any] = {name: value if name in {"pk", "id"} else words.get(name, "x") for name in names}
        try:
            yield slot, reverse(route.name, kwargs=chosen)
        except NoReverseMatch:
            continue
