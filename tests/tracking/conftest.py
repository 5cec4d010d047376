"""Runs, people's clients, and the two ASGI applications called without a server."""

import asyncio
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from django.db import connection
from django.test import Client
from pytest_django import Settings

from apps.accounts import services as accounts
from apps.accounts.choices import PlatformRole
from apps.accounts.models import User
from apps.core import asyncdb
from apps.tracking import hot, services
from apps.tracking.models import MetricPoint, MetricSeries, Run
from tests.factories import cast, committed
from tests.people import Cast

__all__ = ["cast", "committed"]


@pytest.fixture(autouse=True)
def _own_store(settings: Settings, tmp_path: Path) -> None:
    settings.BLOB_ROOT = tmp_path / "blobs"


@pytest.fixture
def run(cast: Cast) -> Run:
    """A run of alice's in her team: bob may view it, charlie may not see it."""
    project = services.create_project("vision", by=cast.alice, team=cast.team)
    return services.create_run(project, by=cast.alice, name="first")


def token_of(user: User, **options: Any) -> str:
    """A token of that person; an admin acts as one through it."""
    if user.platform_role == PlatformRole.ADMIN:
        options = {"scopes": ["admin"], "expires_in": timedelta(hours=1), **options}
    return accounts.issue_token(user, by=user, name="t", **options)[1]


def run_token(
    run: Run, purpose: str = "attempt 1", scopes: Sequence[str] = ("run:view", "run:log", "experiment:view")
) -> str:
    """The token that a job of this run would have."""
    bound_to = f"run:{run.pk}"
    owner = User.objects.get(pk=run.owner_id)
    return accounts.issue_run_token(
        owner, bound_to=bound_to, purpose=f"{purpose} of {run.pk}", scopes=scopes, expires_in=timedelta(hours=1)
    )


def client_of(user: User, **options: Any) -> Client:
    return client_with(token_of(user, **options))


def client_with(token: str) -> Client:
    return Client(headers={"Authorization": f"Bearer {token}"}, raise_request_exception=False)


def url(run: Run, rest: str = "") -> str:
    return f"/api/v2/runs/{run.pk}/{rest}"


def log(run: Run, by: User, *points: tuple[Any, ...], key: str = "loss", **more: Any) -> services.Outcome:
    """Log points given as (value,), (value, step) or (value, step, time)."""
    names = ("value", "step", "time")
    rows = [{"key": key, **dict(zip(names, point, strict=False))} for point in points]
    return services.log_batch(run, {"metrics": rows, **more}, by=by)


def stored(run: Run, key: str = "loss") -> list[tuple[int, float]]:
    """Return (step, value) of every point in the order of arrival, having checked that the ordinals have no gap."""
    rows = list(MetricPoint.objects.filter(series__run=run, series__key=key).order_by("ordinal"))
    assert [row.ordinal for row in rows] == list(range(len(rows)))
    return [(row.step, row.value) for row in rows]


def series(run: Run, key: str = "loss") -> MetricSeries:
    return MetricSeries.objects.get(run=run, key=key)


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes
    is_complete: bool = True

    def json(self) -> Any:
        return json.loads(self.body)


def call(
    app: Callable[..., Any],
    method: str,
    target: str,
    *,
    headers: dict[str, str] | None = None,
    body: bytes = b"",
    announce: bool = True,
    **arguments: Any,
) -> Answer:
    """Send one request to an ASGI application."""
    parts = urlsplit(target)
    pairs = {
        "host": "testserver",
        **({"content-length": str(len(body))} if announce and body else {}),
        **(headers or {}),
    }
    scope = {
        "type": "http",
        "method": method,
        "path": unquote(parts.path),
        "query_string": parts.query.encode(),
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in pairs.items()],
        "client": ("127.0.0.1", 1),
    }
    return asyncio.run(_exchange(app, scope, body, arguments))


async def _exchange(app: Callable[..., Any], scope: dict[str, Any], body: bytes, arguments: dict[str, Any]) -> Answer:
    pieces = [body[start : start + 65_536] for start in range(0, max(1, len(body)), 65_536)]
    messages = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
    messages[-1]["more_body"] = False
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return messages.pop(0) if messages else {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    try:
        await app(scope, receive, send, **arguments)
    finally:
        await asyncdb.close()
    assert sent[0]["type"] == "http.response.start"
    headers = {name.decode(): value.decode("latin-1") for name, value in sent[0]["headers"]}
    text = b"".join(message["body"] for message in sent[1:])
    return Answer(sent[0]["status"], headers, text, is_complete=not sent[-1].get("more_body", False))


def post_hot(run_id: object, body: bytes, **headers: str) -> Answer:
    """Send a batch to the native handler."""
    return call(
        hot.log_batch, "POST", f"/api/v2/runs/{run_id}/log-batch/", body=body, headers=headers, run_id=str(run_id)
    )


@pytest.fixture
def outside(committed: None, settings: Settings) -> Iterator[None]:
    """Committed data, and native handlers that look into the test's database."""
    name = connection.settings_dict["NAME"]
    settings.DATABASE_URL = urlsplit(settings.DATABASE_URL)._replace(path=f"/{name}").geturl()
    kept = connection.settings_dict["CONN_MAX_AGE"]
    connection.settings_dict["CONN_MAX_AGE"] = 0  # the judge's threads leave no connection behind
    yield
    connection.settings_dict["CONN_MAX_AGE"] = kept
