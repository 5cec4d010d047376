"""What the wire says of itself, how one logs in, and what it says to calls that it does not know."""

import base64
from typing import Any

import pytest

from tests.mlflow.conftest import Wire, refused
from tests.people import Cast
from tests.tracking.conftest import token_of

pytestmark = pytest.mark.django_db
INFO = "/api/3.0/mlflow/server-info"


def _basic(text: str) -> dict[str, str]:
    return {"Authorization": f"Basic {base64.b64encode(text.encode()).decode()}"}


@pytest.mark.parametrize(("path", "text"), [("/health", b"OK"), ("/version", b"3.17.2")])
def test_health_and_version_are_open(path: str, text: bytes) -> None:
    answer = Wire(None).client.get(path)
    assert (answer.status_code, answer.content) == (200, text)
    assert Wire(None).client.post(path).status_code == 405


def test_a_bearer_token_and_a_password_are_the_same(cast: Cast) -> None:
    token = token_of(cast.alice)
    for headers in ({"Authorization": f"Bearer {token}"}, _basic(f"alice:{token}"), _basic(f":{token}")):
        assert Wire(None, **headers).read(INFO)["workspaces_enabled"] is False


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer nonsense"},
        _basic("alice:nonsense"),
        _basic("alice:correct horse battery"),  # the password of the account is no token
        {"Authorization": "Basic %%%"},
        {"Authorization": "Basic /w=="},
    ],
)
def test_nobody_comes_in_without_a_token(headers: dict[str, str], cast: Cast) -> None:
    answer = Wire(None, **headers).get(INFO)
    refused(answer, 401, "UNAUTHENTICATED")
    assert "Basic" in answer["WWW-Authenticate"]


@pytest.mark.parametrize("path", ["/api/2.0/mlflow/gateway/secrets/list", "/ajax-api/3.0/mlflow/ui-telemetry"])
def test_a_call_that_is_not_served_is_told_so(path: str, alice: Wire) -> None:
    assert path.rpartition("/")[2] in refused(alice.get(path), 404, "ENDPOINT_NOT_FOUND")


def test_a_wrong_method_is_told_so(alice: Wire) -> None:
    refused(alice.post(INFO, {}), 405, "ENDPOINT_NOT_FOUND")


@pytest.mark.parametrize("origin", ["session"])
def test_a_session_is_nobody_here(origin: str, cast: Cast) -> None:
    wire = Wire(None)
    wire.client.force_login(cast.alice)
    answer: Any = wire.get(INFO)
    refused(answer, 401, "UNAUTHENTICATED")
