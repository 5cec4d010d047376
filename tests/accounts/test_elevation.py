"""Taking up admin rights for a while: what it takes, how it shows, how it ends."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from apps.access.principal import SYSTEM
from apps.accounts import proof, services
from apps.accounts.models import ApiToken, LoginFailure, User, UserSession
from apps.accounts.sessions import digest
from apps.audit.models import AuditEvent
from apps.core.errors import Conflict
from tests.people import PASSWORD, Cast

pytestmark = pytest.mark.django_db
COOKIE = "fathom_session"
GIVEN = {"password": PASSWORD, "reason": "look after the queue", "next": "/admin/"}


@pytest.fixture
def client(cast: Cast) -> Client:
    """sre's browser, before he has taken anything up."""
    browser = Client()
    browser.force_login(cast.sre)
    return browser


def until(client: Client) -> datetime | None:
    return UserSession.objects.get(digest=digest(client.cookies[COOKIE].value)).elevated_until


def test_it_takes_the_password_and_a_reason(client: Client) -> None:
    assert client.get("/admin/").status_code == 302
    for missing, status in ({"password": "wrong"}, 401), ({"reason": " "}, 400), ({"password": ""}, 401):
        assert client.post("/elevate/", GIVEN | missing).status_code == status
        assert until(client) is None
    assert client.get("/admin/").status_code == 302
    assert client.post("/elevate/", GIVEN)["Location"] == "/admin/"
    left = until(client)
    assert left is not None
    assert left - timezone.now() == pytest.approx(timedelta(minutes=15), abs=timedelta(seconds=10))
    assert client.get("/admin/").status_code == 200
    event = AuditEvent.objects.get(action="begin_elevation")
    assert (event.actor_label, event.reason) == ("sre", "look after the queue")


def test_it_gives_the_session_a_new_key(client: Client) -> None:
    before = client.cookies[COOKIE].value
    client.post("/elevate/", GIVEN)
    assert client.cookies[COOKIE].value != before
    thief = Client()
    thief.cookies[COOKIE] = before
    assert thief.get("/admin/")["Location"].startswith("/admin/login/")
    assert thief.get("/account/").status_code == 302


def test_every_page_says_so_and_ends_it(client: Client) -> None:
    assert "You act as admin" not in client.get("/").text
    client.post("/elevate/", GIVEN)
    for path in ("/", "/account/", "/admin/", "/admin/accounts/user/", "/no-such-page/"):
        text = client.get(path).text
        assert "You act as admin until" in text, path
        assert "End now" in text, path
    before = client.cookies[COOKIE].value
    assert client.post("/elevate/end/")["Location"] == "/"
    assert client.cookies[COOKIE].value != before
    assert "You act as admin" not in client.get("/").text
    assert client.get("/admin/").status_code == 302
    assert AuditEvent.objects.filter(action="end_elevation").count() == 1
    client.post("/elevate/end/")
    assert AuditEvent.objects.filter(action="end_elevation").count() == 1


def test_it_runs_out(client: Client) -> None:
    client.post("/elevate/", GIVEN)
    UserSession.objects.update(elevated_until=timezone.now() - timedelta(seconds=1))
    assert client.get("/admin/").status_code == 302
    assert "You act as admin" not in client.get("/").text


def test_it_is_one_browsers(client: Client, cast: Cast) -> None:
    other = Client()
    other.force_login(cast.sre)
    client.post("/elevate/", GIVEN)
    assert (client.get("/admin/").status_code, other.get("/admin/").status_code) == (200, 302)


def test_only_admins(cast: Cast) -> None:
    for name in ("alice", "mia", "aud"):
        browser = Client()
        browser.force_login(cast.people[name])
        assert browser.get("/elevate/").status_code == 403
        assert browser.post("/elevate/", GIVEN).status_code == 403
        assert until(browser) is None
        answer = browser.post("/api/v2/auth/elevate/", GIVEN, content_type="application/json")
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert not AuditEvent.objects.filter(action="begin_elevation").exists()
    assert not ApiToken.objects.filter(scopes__contains=["admin"]).exists()


def test_the_password_of_somebody_else_is_not_enough(client: Client, cast: Cast) -> None:
    User.objects.filter(pk=cast.bob.pk).update(password=cast.alice.password)
    assert client.post("/elevate/", GIVEN | {"password": "another password"}).status_code == 401
    assert until(client) is None


def test_next_never_leaves_the_platform(client: Client) -> None:
    assert client.post("/elevate/", GIVEN | {"next": "https://evil.example/"})["Location"] == "/"


def test_guesses_are_slowed_down_at_every_door(client: Client, cast: Cast) -> None:
    """Ten wrong ones at five doors: then the right one is refused at each."""
    token = services.issue_token(cast.sre, by=cast.sre, name="t")[1]
    script = Client(headers={"Authorization": f"Bearer {token}", "Idempotency-Key": "k" * 20})
    wrong: dict[str, Any] = {**GIVEN, "password": "wrong"}
    change = {"current_password": "wrong", "new_password": "another horse battery", "again": "another horse battery"}

    def api(path: str, data: dict[str, Any]) -> int:
        return script.post(f"/api/v2/auth/{path}/", data, content_type="application/json").status_code

    for _ in range(2):
        assert client.post("/elevate/", wrong).status_code == 401
        assert client.post("/account/password/", change).status_code == 401
        assert api("elevate", {"password": "wrong", "reason": "x"}) == 401
        assert api("password", {key: change[key] for key in ("current_password", "new_password")}) == 401
        assert Client().post("/login/", {"username": "SRE", "password": "wrong"}).status_code == 401
    assert LoginFailure.objects.filter(username="sre").count() == 10
    right = change | {"current_password": PASSWORD}
    assert client.post("/elevate/", GIVEN).status_code == 429
    assert client.post("/account/password/", right).status_code == 429
    assert api("elevate", {"password": PASSWORD, "reason": "x"}) == 429
    assert api("password", {key: right[key] for key in ("current_password", "new_password")}) == 429
    assert Client().post("/login/", {"username": "sre", "password": PASSWORD}).status_code == 429
    assert api("login", {"username": "sre", "password": PASSWORD}) == 429
    assert until(client) is None
    assert LoginFailure.objects.filter(username="sre").count() == 10


def test_a_token_for_scripts(cast: Cast) -> None:
    token = services.issue_token(cast.sre, by=cast.sre, name="t")[1]
    script = Client(headers={"Authorization": f"Bearer {token}"})
    body = {"password": PASSWORD, "reason": "drain"}
    answer = script.post("/api/v2/auth/elevate/", body, content_type="application/json")
    assert answer.status_code == 201
    made = answer.json()
    assert made["scopes"] == ["admin"]
    left = ApiToken.objects.get(pk=made["id"]).expires_at
    assert left is not None
    assert left - timezone.now() == pytest.approx(timedelta(minutes=15), abs=timedelta(seconds=10))
    assert services.authenticate_token(made["token"]).is_superuser
    assert not services.authenticate_token(token).is_superuser
    event = AuditEvent.objects.get(action="begin_elevation")
    assert (event.reason, event.data["token"], str(event.token_id)) == (
        "drain",
        made["id"],
        str(services.authenticate_token(token).token.pk),
    )
    assert made["token"] not in str(event.data)


def test_a_token_lives_no_longer_than_the_platform_allows(cast: Cast) -> None:
    browser = Client()
    browser.force_login(cast.sre)

    def ask(minutes: int) -> int:
        body = {"password": PASSWORD, "reason": "x", "minutes": minutes}
        return browser.post("/api/v2/auth/elevate/", body, content_type="application/json").status_code

    assert [ask(24 * 60), ask(24 * 60 + 1), ask(0)] == [201, 400, 400]


def test_narrow_tokens_take_nothing_up(cast: Cast) -> None:
    token = services.issue_token(cast.sre, by=cast.sre, name="t", scopes=["read"])[1]
    script = Client(headers={"Authorization": f"Bearer {token}"})
    answer = script.post(
        "/api/v2/auth/elevate/", {"password": PASSWORD, "reason": "x"}, content_type="application/json"
    )
    assert (answer.status_code, answer.json()["code"]) == (403, "insufficient_scope")
    assert not ApiToken.objects.filter(scopes__contains=["admin"]).exists()


def test_an_admin_token_makes_no_other(cast: Cast) -> None:
    held = services.issue_token(cast.sre, by=SYSTEM, name="t", scopes=["admin"], expires_in=timedelta(hours=1))[1]
    script = Client(headers={"Authorization": f"Bearer {held}"})
    body = {"name": "next", "scopes": ["admin"], "expires_in_days": 1}
    assert script.post("/api/v2/tokens/", body, content_type="application/json").status_code == 403
    assert ApiToken.objects.filter(user=cast.sre).count() == 1


@pytest.fixture
def away() -> Iterator[None]:
    """sre's password is kept at another site."""
    proof.register(proof.Elsewhere(lambda user: user.username == "sre", lambda path: f"/elsewhere/?next={path}"))
    yield
    proof._elsewhere.pop()


def test_whose_password_is_kept_elsewhere_logs_in_there_again(away: None, client: Client, cast: Cast) -> None:
    page = client.get("/elevate/?next=/admin/").text
    assert "/elsewhere/?next=/elevate/%3Fnext%3D/admin/" in page or "/elsewhere/?next=/elevate/?next=/admin/" in page
    assert 'name="password"' not in page
    assert client.post("/elevate/", GIVEN).status_code == 401
    for minutes, status in ((6, 401), (4, 302)):
        session = client.session
        session["logged_in_at"] = (datetime.now(UTC) - timedelta(minutes=minutes)).timestamp()
        session.save()
        assert client.post("/elevate/", GIVEN | {"password": ""}).status_code == status
    assert until(client) is not None
    assert client.post("/api/v2/auth/elevate/", {"reason": "x"}, content_type="application/json").status_code == 201
    token = services.issue_token(cast.sre, by=cast.sre, name="t")[1]
    script = Client(headers={"Authorization": f"Bearer {token}"})
    assert script.post("/api/v2/auth/elevate/", {"reason": "x"}, content_type="application/json").status_code == 401


def test_a_password_kept_elsewhere_is_not_changed_here(away: None, client: Client, cast: Cast) -> None:
    before = User.objects.get(pk=cast.sre.pk).password
    assert 'name="current_password"' not in client.get("/account/").text
    form = {"current_password": PASSWORD, "new_password": "another horse battery", "again": "another horse battery"}
    assert client.post("/account/password/", form).status_code == 409
    with pytest.raises(Conflict):
        services.issue_reset_link(cast.sre, by=SYSTEM, reason="x")
    assert User.objects.get(pk=cast.sre.pk).password == before
