"""Who am I, logging in, tokens: shown once, ended at once, never wider than their maker."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from apps.access.models import IdempotencyRecord
from apps.accounts.models import ApiToken, LoginFailure, User
from tests.api.answers import API, NOWHERE, good, problem, walk
from tests.api.conftest import As
from tests.people import PASSWORD, Cast


def log_in(client: APIClient, name: str = "alice", password: str = PASSWORD, **more: Any) -> Any:
    return client.post(f"{API}/auth/login/", {"username": name, "password": password, "name": "laptop", **more})


def bearing(token: str) -> APIClient:
    client = APIClient(raise_request_exception=False)
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {token}")
    return client


def test_who_am_i(cast: Cast, as_: As) -> None:
    body = good(as_("mia", ("read",)).get(f"{API}/me/"))
    assert body.pop("token")["scopes"] == ["read"]
    teams = [{"slug": "vision", "name": "Vision", "role": "maintainer"}]
    assert body == {"username": "mia", "email": "", "is_admin": False, "teams": teams}


def test_a_session_is_somebody_too(cast: Cast) -> None:
    client = APIClient(enforce_csrf_checks=True, raise_request_exception=False)
    client.force_login(cast.alice)
    assert good(client.get(f"{API}/me/"))["token"] is None
    problem(client.post(f"{API}/tokens/", {"name": "t"}), 403, "forbidden")  # no CSRF token
    assert not ApiToken.objects.exists()


def test_logging_in_gives_a_token(cast: Cast, as_: As) -> None:
    body = good(log_in(as_(), expires_in_days=1, scopes=["read"]), 201)
    assert body["token"].startswith("fth_pat_")
    assert (body["name"], body["scopes"], body["kind"]) == ("laptop", ["read"], "pat")
    assert good(bearing(body["token"]).get(f"{API}/me/"))["username"] == "alice"
    assert "digest" not in body


@pytest.mark.parametrize(
    ("name", "password"), [("alice", "wrong"), ("nobody", PASSWORD), ("ivan", PASSWORD), ("ALICE", PASSWORD)]
)
def test_a_failed_login_says_nothing(cast: Cast, as_: As, name: str, password: str) -> None:
    body = problem(log_in(as_(), name, password), 401, "not_authenticated")
    assert body["detail"] == "The name or the password is wrong."
    assert not ApiToken.objects.exists()


def test_guessing_is_throttled_and_says_when_to_come_back(cast: Cast, as_: As) -> None:
    client = as_()
    for _ in range(10):
        problem(log_in(client, password="wrong"), 401, "not_authenticated")
    answer = log_in(client)
    problem(answer, 429, "throttled")
    assert answer["Retry-After"] == "300"
    good(log_in(client, "bob"), 201)
    LoginFailure.objects.update(at=timezone.now() - timedelta(minutes=6))
    good(log_in(client), 201)


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        None,
        {"username": "alice"},
        {"username": "alice", "password": None},
        {"username": ["alice"], "password": PASSWORD},
        {"username": {"a": 1}, "password": PASSWORD},
        {"username": "alice", "password": PASSWORD, "scopes": []},
        {"username": "alice", "password": PASSWORD, "scopes": ["fly"]},
        {"username": "alice", "password": PASSWORD, "scopes": [1, None, {}]},
        {"username": "alice", "password": PASSWORD, "expires_in_days": 0},
        {"username": "alice", "password": PASSWORD, "expires_in_days": 10**30},
        {"username": "alice", "password": PASSWORD, "expires_in_days": "x" * 10_000},
        {"username": "alice", "password": PASSWORD, "name": "x" * 101},
        {"username": "x" * 151, "password": PASSWORD},
    ],
)
def test_an_ill_formed_login_is_refused(cast: Cast, as_: As, body: Any) -> None:
    problem(as_().post(f"{API}/auth/login/", body), 400, "invalid")
    assert not ApiToken.objects.exists()


def test_a_token_is_shown_once(as_: As) -> None:
    alice = as_("alice")
    made = good(alice.post(f"{API}/tokens/", {"name": "ci", "scopes": ["run:view"], "expires_in_days": 2}), 201)
    value = made.pop("token")
    assert good(alice.get(f"{API}/tokens/{made['id']}/")) == made
    assert value not in alice.get(f"{API}/tokens/").content.decode()
    life = ApiToken.objects.get(pk=made["id"]).expires_at - timezone.now()  # type: ignore[operator]
    assert timedelta(days=1, hours=23) < life <= timedelta(days=2)


def test_a_repeated_creation_does_not_show_it_again(as_: As) -> None:
    alice = as_("alice")
    asked: dict[str, Any] = {"path": f"{API}/tokens/", "data": {"name": "ci"}, "HTTP_IDEMPOTENCY_KEY": "k"}
    first, second = good(alice.post(**asked), 201), good(alice.post(**asked), 201)
    assert first["id"] == second["id"]
    assert (first["token"] != "", second["token"]) == (True, "")
    assert first["token"] not in str(IdempotencyRecord.objects.values().get())
    assert ApiToken.objects.filter(name="ci").count() == 1


def test_a_revoked_token_ends_at_once(as_: As) -> None:
    alice = as_("alice")
    made = good(alice.post(f"{API}/tokens/", {"name": "ci"}), 201)
    good(bearing(made["token"]).get(f"{API}/me/"))
    assert alice.delete(f"{API}/tokens/{made['id']}/").status_code == 204
    assert alice.delete(f"{API}/tokens/{made['id']}/").status_code == 204
    answer = bearing(made["token"]).get(f"{API}/me/")
    problem(answer, 401, "not_authenticated")
    assert answer["WWW-Authenticate"] == 'Bearer realm="fathom"'


def test_an_expired_token_and_a_disabled_person_are_nobody(cast: Cast, as_: As) -> None:
    alice, bob = as_("alice"), as_("bob")
    ApiToken.objects.filter(user=cast.alice).update(expires_at=timezone.now() - timedelta(seconds=1))
    User.objects.filter(pk=cast.bob.pk).update(is_active=False)
    for client in (alice, bob):
        problem(client.get(f"{API}/me/"), 401, "not_authenticated")
        problem(client.get(f"{API}/experiments/{NOWHERE}/"), 401, "not_authenticated")


def test_a_token_makes_no_wider_one(as_: As) -> None:
    narrow = as_("alice", ("apitoken:create", "run:view"))
    problem(narrow.post(f"{API}/tokens/", {"name": "x"}), 403, "forbidden")
    problem(narrow.post(f"{API}/tokens/", {"name": "x", "scopes": ["run:view", "run:log"]}), 403, "forbidden")
    good(narrow.post(f"{API}/tokens/", {"name": "x", "scopes": ["run:view"]}), 201)
    body = problem(as_("alice", ("read",)).post(f"{API}/tokens/", {"name": "y"}), 403, "insufficient_scope")
    assert body["need"] == ["apitoken:create"]
    assert not ApiToken.objects.filter(name="y").exists()


def test_anothers_token_is_not_there(cast: Cast, as_: As) -> None:
    as_("alice")
    row = ApiToken.objects.get(user=cast.alice)
    for name in ("bob", "mia", "charlie"):
        client = as_(name)
        problem(client.get(f"{API}/tokens/{row.pk}/"), 404, "not_found")
        problem(client.delete(f"{API}/tokens/{row.pk}/"), 404, "not_found")
        assert [token["prefix"] for token in walk(client, f"{API}/tokens/")] != [row.prefix]
    row.refresh_from_db()
    assert row.revoked_at is None


@pytest.mark.parametrize(
    "header",
    [
        "Bearer",
        "Bearer ",
        "Bearer x",
        "bearer fth_pat_" + "0" * 49,
        "Bearer a b c",
        "Bearer \xff\xfe",
        "Bearer " + "x" * 9000,
    ],
)
def test_a_bad_bearer_is_nobody(cast: Cast, header: str) -> None:
    client = APIClient(raise_request_exception=False)
    client.credentials(HTTP_AUTHORIZATION=header)
    answer = client.get(f"{API}/me/")
    problem(answer, 401, "not_authenticated")
    assert "WWW-Authenticate" in answer


@pytest.mark.parametrize("header", ["Basic YTpi", "Token x", "Digest", ""])
def test_another_scheme_is_nobody(cast: Cast, header: str) -> None:
    client = APIClient(raise_request_exception=False)
    client.credentials(HTTP_AUTHORIZATION=header)
    problem(client.get(f"{API}/me/"), 401, "not_authenticated")
