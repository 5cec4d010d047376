"""Asking a row as a person."""

import re
from typing import Any

from django.conf import settings
from django.db import transaction
from django.test import Client
from django.urls import reverse

from tests.matrix.judged import TOKENS
from tests.matrix.table import Row
from tests.matrix.world import World

_CHANGING = re.compile(rb'"request_id":"[^"]*"|[0-9a-f]{8}-[0-9a-f-]{27}|[A-Za-z0-9]{64}')


def as_browser(world: World, person: str) -> Client:
    """A browser with a session; to a page a token is nothing."""
    client = Client(raise_request_exception=True)
    if person in TOKENS:
        client.defaults["HTTP_AUTHORIZATION"] = f"Bearer {world.bearers[person]}"
    elif person != "anonymous":
        client.cookies[settings.SESSION_COOKIE_NAME] = world.sessions[person]
    return client


def as_script(world: World, person: str) -> Client:
    client = Client(raise_request_exception=True)
    if person != "anonymous":
        client.defaults["HTTP_AUTHORIZATION"] = f"Bearer {world.bearers[person]}"
    return client


def ask(client: Client, row: Row, world: World, **names: Any) -> tuple[int, bytes]:
    """Send the request, take back what it changed, return status and body."""
    url = reverse(row.name, kwargs={**row.names(world), **names}) + row.query
    given = (
        {"content_type": "application/json"} if row.name.startswith(("api-", "mlflow-")) and row.method != "GET" else {}
    )
    with transaction.atomic():
        response = getattr(client, row.method.lower())(url, row.data(world), **given)
        body = b"".join(response.streaming_content) if response.streaming else response.content
        transaction.set_rollback(True)
    return response.status_code, body


def without_ids(body: bytes) -> bytes:
    """Leave out what differs between any two answers: ids and the form's one-time token."""
    return _CHANGING.sub(b"", body)
