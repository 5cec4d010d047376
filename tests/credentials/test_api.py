"""What the API answers, beyond what the matrix asks: `tests/matrix` has who may do what."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from apps.access import grants
from apps.access.decision import Role
from apps.access.principal import SYSTEM
from apps.accounts import services as accounts
from apps.credentials.models import Credential
from tests.credentials.conftest import CANARY
from tests.factories import Stage
from tests.people import Cast

Make = Callable[..., Credential]
ROOT = "/api/v2/credentials/"


class Caller:
    """A script with a token."""

    def __init__(self, user: Any, **facts: Any) -> None:
        self._bearer = accounts.issue_token(user, by=SYSTEM, name="t", **facts)[1]

    def __call__(self, method: str, path: str = "", body: Any = None) -> Any:
        content = {} if body is None else {"data": json.dumps(body), "content_type": "application/json"}
        headers = {"Authorization": f"Bearer {self._bearer}"}
        return getattr(Client(), method)(f"{ROOT}{path}", headers=headers, **content)


@pytest.fixture
def alice(cast: Cast) -> Caller:
    return Caller(cast.alice)


def _names(response: Any) -> list[str]:
    return [row["name"] for row in response.json()["results"]]


def test_all_that_can_be_read(cast: Cast, alice: Caller) -> None:
    values = {"host": "git.example.org", "username": "robot", "token": CANARY}
    body = {"name": "my-git", "kind": "git_https", "team": "vision", "description": "for CI", "values": values}
    response = alice("post", body=body)
    assert response.status_code == 201
    made = Credential.objects.get()
    shown = response.json()
    assert {name: shown[name] for name in shown if not name.endswith("_at")} == {
        "id": str(made.pk),
        "name": "my-git",
        "kind": "git_https",
        "description": "for CI",
        "public": {"host": "git.example.org", "username": "robot"},
        "version": 1,
        "fingerprint": made.fingerprint,
        "owner": "alice",
        "team": "vision",
        "visibility": "team",
        "created_by": "alice",
    }
    assert alice("get", f"{made.pk}/").json() == shown
    assert alice("get").json()["results"] == [shown]


def test_lists_are_narrowed(cast: Cast, alice: Caller, token: Make) -> None:
    token("one")
    made = token("two", by=cast.mia)
    private = token("three", by=cast.mia, team=None)
    assert _names(alice("get")) == ["two", "one"]
    assert _names(alice("get", "?name=one")) == ["one"]
    assert _names(alice("get", "?kind=s3")) == []
    bob = Caller(cast.bob)
    assert (_names(bob("get")), _names(bob("get", "?usable=true"))) == (["two", "one"], [])
    grants.grant(cast.bob, made, Role.EDITOR)
    grants.grant(cast.bob, private, Role.VIEWER)
    assert (_names(bob("get")), _names(bob("get", "?usable=true"))) == (["three", "two", "one"], ["two"])
    sre = Caller(cast.sre, scopes=["admin"])
    assert (len(_names(sre("get"))), _names(sre("get", "?usable=true"))) == (3, [])
    assert alice("get", "?kind=nothing").status_code == 400


def test_a_refusal_names_fields_and_repeats_nothing(cast: Cast, alice: Caller) -> None:
    body = {"name": "a", "kind": "git_https", "values": {"host": "a b", "username": "x", "token": "12345"}}
    response = alice("post", body=body)
    assert response.status_code == 400
    assert sorted(response.json()["errors"]) == ["values.host", "values.token"]
    assert "12345" not in response.content.decode()


def test_replace_and_change(cast: Cast, alice: Caller, token: Make) -> None:
    made = token()
    fresh = alice("post", f"{made.pk}/replace/", {"values": {"token": "fresh-canary-1"}, "reason": "leaked"}).json()
    assert (fresh["version"], fresh["public"]) == (2, made.public)
    assert fresh["fingerprint"] != made.fingerprint
    changed = alice("patch", f"{made.pk}/", {"name": "other", "expires_at": "2099-01-01T00:00:00Z"}).json()
    assert (changed["name"], changed["expires_at"]) == ("other", "2099-01-01T00:00:00.000000Z")
    assert alice("delete", f"{made.pk}/").status_code == 204
    assert alice("get", f"{made.pk}/").status_code == 404


def test_uses_are_for_managers(cast: Cast, alice: Caller, token: Make, stage: Stage) -> None:
    made = token()
    experiment = stage.submit(cast.alice, credentials=[{"name": "my-git", "as": "GIT"}])
    stage.finish()
    (use,) = alice("get", f"{made.pk}/uses/").json()["results"]
    at = use.pop("at")
    assert at.startswith("20")
    assert use == {"run": str(experiment.pk), "attempt_no": 1, "alias": "GIT", "version": 1, "user": "alice"}
    refused = Caller(cast.bob)("get", f"{made.pk}/uses/")
    assert refused.status_code == 403
    assert str(experiment.pk) not in refused.content.decode()


def test_a_token_needs_the_scope(cast: Cast, token: Make) -> None:
    made = token()
    reader = Caller(cast.alice, scopes=["read"])
    assert reader("get", f"{made.pk}/").status_code == 200
    for method, path, body in (
        ("post", f"{made.pk}/replace/", {"values": {"token": "stolen-token"}}),
        ("patch", f"{made.pk}/", {"visibility": "public"}),
        ("delete", f"{made.pk}/", None),
        ("get", f"{made.pk}/uses/", None),
    ):
        assert reader(method, path, body).json()["code"] == "insufficient_scope", path
    made.refresh_from_db()
    assert (made.version, made.visibility, made.archived_at) == (1, "team", None)


@pytest.mark.parametrize("path", ["", "?usable=true"])
def test_a_list_costs_the_same_with_one_and_three(path: str, cast: Cast, alice: Caller, token: Make) -> None:
    token("one")
    alice("get", path)
    with CaptureQueriesContext(connection) as first:
        alice("get", path)
    token("two", by=cast.mia)
    token("three", team=None)
    with CaptureQueriesContext(connection) as second:
        assert len(_names(alice("get", path))) == 3
    assert len(first) == len(second)
