"""The doors beside Django: websockets, native handlers, and the origin of users' files, over real connections.

They read through connections of their own, so the world is committed here.
"""

from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import urlencode, urlsplit
from uuid import uuid4

import orjson
import pytest
from asgiref.sync import async_to_sync
from asgiref.testing import ApplicationCommunicator
from django.conf import settings
from django.db import connection

from apps.accounts import services as accounts
from apps.core import asyncdb
from apps.tracking import tickets
from config import asgi, content
from tests import people
from tests.architecture.routes import sockets
from tests.matrix.judged import OUTSIDE, PEOPLE, TOKENS, expected_api
from tests.matrix.table_mlflow import MLFLOW
from tests.matrix.world import NONE, ROLES, SECRET, VIEWER, World, make_world

EVERYBODY = (*OUTSIDE, *PEOPLE, *TOKENS)
SOCKETS = {"/ws/experiments/<uuid:experiment>/logs/"}
_WIRE = {
    "POST": (
        "runs/log-batch", "runs/log-metric", "runs/log-parameter", "runs/set-tag", "runs/create", "runs/update", "runs/search",
        "model-versions/create",
    ),
    "GET": ("runs/get", "metrics/get-history", "experiments/get", "experiments/get-by-name"),
}  # fmt: skip
NATIVE = {
    "GET /healthz",
    "GET /readyz",
    "POST /api/v2/runs/<id>/log-batch/",
    *(f"{method} /api/2.0/mlflow/{path}" for method, paths in _WIRE.items() for path in paths),
}
_PATIENCE = 5


@pytest.fixture
def world(committed: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    # Native handlers have connections of their own, which are to lead to the test's database as well.
    url = urlsplit(settings.DATABASE_URL)
    monkeypatch.setattr(settings, "DATABASE_URL", url._replace(path=f"/{connection.settings_dict['NAME']}").geturl())
    yield make_world()
    # The threads that judge for native handlers keep their connections, and a database in use cannot be dropped.
    others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
    with connection.cursor() as cursor:
        cursor.execute(others)


def _headers(world: World, person: str, *, session: bool = False) -> list[tuple[bytes, bytes]]:
    host = urlsplit(settings.FATHOM_URL).netloc.encode()
    if person == "anonymous":
        return [(b"host", host)]
    if session:
        cookie = f"{settings.SESSION_COOKIE_NAME}={world.sessions[person]}".encode()
        return [(b"host", host), (b"origin", settings.FATHOM_URL.encode()), (b"cookie", cookie)]
    return [(b"host", host), (b"authorization", f"Bearer {world.bearers[person]}".encode())]


async def _http(
    app: Any, method: str, url: str, headers: list[tuple[bytes, bytes]], body: bytes = b""
) -> tuple[int, bytes]:
    parts = urlsplit(url)
    length = (b"content-length", str(len(body)).encode())
    scope = {
        "type": "http", "http_version": "1.1", "method": method, "path": parts.path, "raw_path": parts.path.encode(),
        "query_string": parts.query.encode(), "headers": [*headers, length, (b"content-type", b"application/json")],
        "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80), "scheme": "http", "root_path": "",
    }  # fmt: skip
    peer = ApplicationCommunicator(app, scope)
    await peer.send_input({"type": "http.request", "body": body, "more_body": False})
    start = await peer.receive_output(_PATIENCE)
    parts_of_body = [part async for part in _body(peer)]
    await peer.wait(_PATIENCE)
    return start["status"], b"".join(parts_of_body)


async def _body(peer: ApplicationCommunicator) -> AsyncIterator[bytes]:
    more = True
    while more:
        message = await peer.receive_output(_PATIENCE)
        yield message.get("body", b"")
        more = message.get("more_body", False)


async def _socket(path: str, headers: list[tuple[bytes, bytes]]) -> tuple[int, str]:
    """Open a websocket; return its close code, or 0 and the first frame."""
    scope = {
        "type": "websocket", "path": path, "raw_path": path.encode(), "query_string": b"", "headers": headers,
        "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80), "scheme": "ws", "subprotocols": [], "root_path": "",
    }  # fmt: skip
    peer = ApplicationCommunicator(asgi.application, scope)
    await peer.send_input({"type": "websocket.connect"})
    message = await peer.receive_output(_PATIENCE)
    if message["type"] == "websocket.accept":
        message = await peer.receive_output(_PATIENCE)
    found = (message["code"], "") if message["type"] == "websocket.close" else (0, message["text"])
    await peer.send_input({"type": "websocket.disconnect", "code": 1000})
    await peer.wait(_PATIENCE)
    return found


def _codes(world: World, work: Any) -> dict[str, int]:
    """Run `work(person)` for everybody in one event loop."""

    async def all_of_them() -> dict[str, int]:
        try:
            return {person: (await work(person))[0] for person in EVERYBODY}
        finally:
            await asyncdb.close()

    return async_to_sync(all_of_them)()


def _expected(
    world: World, *, outside: int, hidden: int, ok: int, tokens: dict[str, int], least: Any = VIEWER, low: int = 0
) -> Any:
    roles = ROLES["ended"]
    inside = {name: hidden if roles[name] is NONE else ok if roles[name] >= least else low for name in PEOPLE}
    return {**dict.fromkeys(OUTSIDE, outside), **inside, **tokens}


def test_every_socket_and_native_route_is_tried_here() -> None:
    assert {route.path for route in sockets()} == SOCKETS
    served = {f"{route.method} {_plain(route.path.pattern)}" for route in asgi.NATIVE_ROUTES}
    assert served == NATIVE


def _plain(pattern: str) -> str:
    return pattern.strip("^$").replace("\\", "").replace("(?P<run_id>[0-9a-f-]{36})", "<id>")


def test_health_is_public(world: World) -> None:
    for path in ("/healthz", "/readyz"):
        found = _codes(world, lambda person, path=path: _http(asgi.application, "GET", path, _headers(world, person)))
        assert found == dict.fromkeys(EVERYBODY, 200)


@pytest.mark.parametrize("session", [False, True], ids=["token", "session"])
def test_log_socket(world: World, session: bool) -> None:
    path = f"/ws/experiments/{world.ended.pk}/logs/"
    people = [name for name in EVERYBODY if not (session and name in TOKENS)]
    found = _codes(world, lambda person: _socket(path, _headers(world, person, session=session and person in people)))
    tokens = {"reader": 0, "job": 4403, "stray": 4404}  # the job's scopes do not name experiment:logs
    assert found == _expected(world, outside=4401, hidden=4404, ok=0, tokens=tokens)


def test_log_socket_of_nothing(world: World) -> None:
    found = _codes(world, lambda person: _socket(f"/ws/experiments/{uuid4()}/logs/", _headers(world, person)))
    assert found == {name: 4401 if name in OUTSIDE else 4404 for name in EVERYBODY}


def test_a_session_from_another_origin_opens_no_socket(world: World) -> None:
    headers = [
        (name, b"https://elsewhere.example" if name == b"origin" else value)
        for name, value in _headers(world, "alice", session=True)
    ]
    found = _codes(world, lambda _person: _socket(f"/ws/experiments/{world.ended.pk}/logs/", headers))
    assert set(found.values()) == {4401}


def test_metric_batches(world: World) -> None:
    url, body = f"/api/v2/runs/{world.ended.pk}/log-batch/", b'{"metrics":[{"key":"m","value":1.0}]}'
    found = _codes(world, lambda person: _http(asgi.application, "POST", url, _headers(world, person), body))
    tokens = {"reader": 403, "job": 200, "stray": 404}
    assert found == _expected(
        world, outside=401, hidden=404, ok=200, tokens=tokens, least=ROLES["ended"]["dana"], low=403
    )


@pytest.mark.parametrize(
    ("method", "path"), [(method, path) for method, paths in _WIRE.items() for path in paths], ids=str
)
def test_mlflows_hot_calls(world: World, method: str, path: str) -> None:
    """What is beside Django answers everybody as the view of the same call does."""
    row = next(row for row in MLFLOW if row.key == f"{method} mlflow-{path.replace('/', '-')}")
    data = row.data(world)
    query = f"?{urlencode(data)}" if method == "GET" else ""
    body = b"" if method == "GET" else orjson.dumps(data)
    url = f"/api/2.0/mlflow/{path}{query}"
    found = _codes(world, lambda person: _http(asgi.application, method, url, _headers(world, person), body))
    assert found == expected_api(row)


def test_files(world: World) -> None:
    """A link is made for a person and judged again when it is used: what is signed for charlie opens nothing."""

    def link(person: str) -> str:
        user = world.cast.people.get(person)
        if person in TOKENS:
            user = accounts.authenticate_token(world.bearers[person])
        elif person == "sre":
            user = people.in_browser(world.cast.sre)
        if user is None:
            return f"/artifacts/{world.ended.pk}/{world.artifact.path}"
        return tickets.link(world.ended.pk, world.artifact.path, by=user).removeprefix(settings.FATHOM_CONTENT_URL)

    links = {person: link(person) for person in EVERYBODY}
    found = _codes(world, lambda person: _http(content.application, "GET", links[person], []))
    tokens = {"reader": 200, "job": 200, "stray": 404}
    assert found == _expected(world, outside=401, hidden=404, ok=200, tokens=tokens)


def test_a_link_serves_its_own_file_only_and_carries_nothing_else(world: World) -> None:
    good = tickets.link(world.ended.pk, world.artifact.path, by=world.cast.alice).removeprefix(
        settings.FATHOM_CONTENT_URL
    )
    tried = {
        "good": good,
        "another path": good.replace("report.txt", "other.txt"),
        "another run": good.replace(str(world.ended.pk), str(world.waiting.pk)),
        "another signature": good[:-1] + ("A" if good[-1] != "A" else "B"),
        "no ticket": good.partition("?")[0],
        "no file": "/",
    }

    async def ask() -> dict[str, tuple[int, bytes]]:
        return {
            name: await _http(content.application, "GET", url, _headers(world, "alice")) for name, url in tried.items()
        }

    found = async_to_sync(ask)()
    assert found["good"] == (200, SECRET.encode())
    assert {name: code for name, (code, _) in found.items() if name != "good"} == {
        "another path": 401, "another run": 401, "another signature": 401, "no ticket": 401, "no file": 404,
    }  # fmt: skip
    assert all(SECRET.encode() not in body for name, (_, body) in found.items() if name != "good")
