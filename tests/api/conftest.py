"""Fixtures of this folder."""

from collections.abc import Callable

import pytest
from rest_framework.test import APIClient

from apps.access.principal import SYSTEM
from apps.accounts import services as accounts
from tests.factories import cast, committed, stage
from tests.people import Cast

__all__ = ["cast", "committed", "stage"]

As = Callable[..., APIClient]


@pytest.fixture
def as_(cast: Cast) -> As:
    """Return a client that acts as a person, with a token of the given scopes."""

    def make(name: str = "", scopes: tuple[str, ...] = ()) -> APIClient:
        client = APIClient(raise_request_exception=False)
        scopes = scopes or (("admin",) if name == "sre" else ("all",))
        if name:
            token = accounts.issue_token(cast.people[name], by=SYSTEM, name="t", scopes=scopes)[1]
            client.credentials(HTTP_AUTHORIZATION=f"Bearer {token}")
        return client

    return make
