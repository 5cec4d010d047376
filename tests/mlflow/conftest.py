"""A person's way onto the wire."""

import json
from typing import Any

import pytest
from django.test import Client

from apps.accounts.models import User
from tests.factories import cast, committed
from tests.tracking.conftest import outside, token_of

__all__ = ["cast", "committed", "outside"]

API = "/api/2.0/mlflow"


class Wire:
    """Calls MLflow's API as one person, through Django."""

    def __init__(self, user: User | None, **headers: str) -> None:
        if user is not None:
            headers = {"Authorization": f"Bearer {token_of(user)}", **headers}
        self.client = Client(headers=headers, raise_request_exception=False)

    def get(self, where: str, **query: Any) -> Any:
        return self.client.get(_full(where), query)

    def post(self, where: str, body: Any = None, *, method: str = "post", **fields: Any) -> Any:
        text = body if isinstance(body, (str, bytes)) else json.dumps(body if body is not None else fields)
        return getattr(self.client, method)(_full(where), text, content_type="application/json")

    def made(self, where: str, **fields: Any) -> Any:
        """Post, expect that it works, return the answer."""
        answer = self.post(where, fields)
        assert answer.status_code == 200, answer.content
        return answer.json()

    def read(self, where: str, **query: Any) -> Any:
        answer = self.get(where, **query)
        assert answer.status_code == 200, answer.content
        return answer.json()


def _full(path: str) -> str:
    return path if path.startswith("/") else f"{API}/{path}"


def refused(answer: Any, status: int, code: str) -> str:
    """Expect an error in MLflow's form; return its message."""
    found = answer.json()
    assert (answer.status_code, found["error_code"]) == (status, code), found
    assert found["message"]
    return str(found["message"])


@pytest.fixture
def alice(cast: Any) -> Wire:
    return Wire(cast.alice)
