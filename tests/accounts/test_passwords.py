"""Passwords: changed by oneself, set anew by a link, and never seen by anybody."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone

from apps.accounts import services
from apps.accounts.models import ApiToken, ResetLink, SecondFactor, User, UserSession
from apps.audit.models import AuditEvent
from apps.core.errors import Conflict, NotAllowed, NotFound
from config.settings import base
from tests import people
from tests.people import PASSWORD, Cast

pytestmark = pytest.mark.django_db
NEW = "another horse battery"
FORM = {"current_password": PASSWORD, "new_password": NEW, "again": NEW}


def opens(name: str, password: str) -> bool:
    return Client().post("/login/", {"username": name, "password": password}).status_code == 302


def test_it_takes_the_present_one_and_ends_the_other_sessions(cast: Cast) -> None:
    mine, other, bobs = (people.browser_of(cast.people[name]) for name in ("alice", "alice", "bob"))
    token = services.issue_token(cast.alice, by=cast.alice, name="t")[1]
    assert "Access tokens go on, unless you tick this" in mine.get("/account/").text
    key = mine.cookies["fathom_session"].value
    assert mine.post("/account/password/", FORM)["Location"] == "/account/"
    assert mine.cookies["fathom_session"].value != key
    assert [client.get("/account/").status_code for client in (mine, other, bobs)] == [200, 302, 200]
    assert UserSession.objects.filter(user=cast.alice).count() == 1
    assert services.authenticate_token(token).pk == cast.alice.pk
    assert (opens("alice", PASSWORD), opens("alice", NEW)) == (False, True)
    event = AuditEvent.objects.get(action="change_password")
    assert event.data == {"ended_sessions": 1, "revoked_tokens": 0}


def test_tokens_end_if_asked(cast: Cast) -> None:
    mine = people.browser_of(cast.alice)
    services.issue_token(cast.alice, by=cast.alice, name="t")
    bobs = services.issue_token(cast.bob, by=cast.bob, name="t")[1]
    mine.post("/account/password/", FORM | {"end_tokens": "on"})
    assert not ApiToken.objects.filter(user=cast.alice).live().exists()  # type: ignore[attr-defined]
    assert services.authenticate_token(bobs).pk == cast.bob.pk


@pytest.mark.parametrize(
    ("changes", "status", "sentence"),
    [
        ({"current_password": "wrong"}, 401, "The password or the code is wrong."),
        ({"current_password": ""}, 400, "This field is required."),
        ({"new_password": "short", "again": "short"}, 400, "This password is too short."),
        ({"new_password": "11111111111111", "again": "11111111111111"}, 400, "entirely numeric"),
        ({"again": "something else"}, 400, "The two passwords differ."),
    ],
)
def test_what_is_wrong_is_said_and_nothing_changes(
    changes: dict[str, str], status: int, sentence: str, cast: Cast
) -> None:
    mine, other = people.browser_of(cast.alice), people.browser_of(cast.alice)
    answer = mine.post("/account/password/", FORM | changes)
    assert answer.status_code == status
    assert sentence in answer.text
    assert other.get("/account/").status_code == 200
    assert opens("alice", PASSWORD)
    assert NEW not in answer.text


def test_over_the_api(cast: Cast) -> None:
    browser = people.browser_of(cast.alice)
    token = services.issue_token(cast.alice, by=cast.alice, name="t")[1]
    script = Client(headers={"Authorization": f"Bearer {token}"})
    body = {"current_password": PASSWORD, "new_password": NEW}
    url, kind = "/api/v2/auth/password/", "application/json"
    assert script.post(url, body | {"current_password": "wrong"}, content_type=kind).status_code == 401
    assert script.post(url, body | {"new_password": "short"}, content_type=kind).json()["errors"] == {
        "new_password": ["This password is too short. It must contain at least 10 characters."]
    }
    assert browser.get("/account/").status_code == 200
    assert script.post(url, body, content_type=kind).status_code == 204
    assert browser.get("/account/").status_code == 302
    assert opens("alice", NEW)
    mine = people.browser_of(cast.bob)
    assert mine.post(url, body, content_type=kind).status_code == 204
    assert mine.get("/account/").status_code == 200  # the session that did it goes on


def test_argon2id_is_what_is_stored(cast: Cast, settings: Any) -> None:
    settings.PASSWORD_HASHERS = base.PASSWORD_HASHERS
    user = User(username="x")
    user.set_password(NEW)
    assert user.password.startswith("argon2$argon2id$")


def test_a_link_sets_a_new_one_once(cast: Cast) -> None:
    browser = people.browser_of(cast.alice)
    path = services.issue_reset_link(cast.alice, by=cast.sre, reason="forgotten")
    form = {"password": NEW, "again": NEW}
    stranger = Client()
    assert stranger.get(path).status_code == 200
    assert stranger.post(path, {"password": "short", "again": "short"}).status_code == 400
    assert browser.get("/account/").status_code == 200
    assert stranger.post(path, form)["Location"] == "/login/"
    assert (opens("alice", PASSWORD), opens("alice", NEW)) == (False, True)
    assert browser.get("/account/").status_code == 302
    assert [stranger.get(path).status_code, stranger.post(path, form | {"password": "x"}).status_code] == [404, 404]
    value = path.split("/")[2]
    assert not ResetLink.objects.filter(digest=value).exists()
    assert {event.action for event in AuditEvent.objects.filter(object_id=str(cast.alice.pk))} >= {
        "issue_reset_link",
        "reset_password",
    }
    assert value not in str(list(AuditEvent.objects.values()))


def test_links_end(cast: Cast) -> None:
    first = services.issue_reset_link(cast.alice, by=cast.sre, reason="forgotten")
    second = services.issue_reset_link(cast.alice, by=cast.sre, reason="forgotten again")
    assert [Client().get(path).status_code for path in (first, second)] == [404, 200]
    ResetLink.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert Client().get(second).status_code == 404
    third = services.issue_reset_link(cast.alice, by=cast.sre, reason="forgotten")
    services.change_password(cast.alice, by=cast.alice, current=PASSWORD, new=NEW)
    assert Client().get(third).status_code == 404
    fourth = services.issue_reset_link(cast.bob, by=cast.sre, reason="forgotten")
    services.disable_user(cast.bob, by=cast.sre, reason="left")
    assert Client().get(fourth).status_code == 404
    with pytest.raises(NotFound):
        services.redeem_reset_link(fourth.split("/")[2], password=NEW)


def test_only_an_admin_gives_links(cast: Cast) -> None:
    for name in ("alice", "mia", "aud"):
        with pytest.raises(NotAllowed):
            services.issue_reset_link(cast.bob, by=cast.people[name], reason="x")
    with pytest.raises(Conflict):
        services.issue_reset_link(cast.ivan, by=cast.sre, reason="x")
    assert not ResetLink.objects.exists()


def test_the_admin_shows_the_link_once(cast: Cast) -> None:
    operator = people.browser_of(cast.sre)
    url = "/admin/accounts/user/"
    chosen = {"action": "reset_link", "_selected_action": str(cast.alice.pk), "index": 0}
    assert operator.post(url, chosen).status_code == 200
    assert not ResetLink.objects.exists()
    answer = operator.post(url, {**chosen, "_confirmed": "1", "reason": "forgotten"})
    found = re.search(r"<code>http://127\.0\.0\.1:\d+(/reset/\S+/)</code>", answer.text)
    assert found is not None
    assert "no-store" in answer["Cache-Control"]
    assert found[1] not in operator.get(url).text
    assert Client().get(found[1]).status_code == 200


def test_the_machine_itself_lets_the_last_admin_in_again(cast: Cast, capsys: pytest.CaptureFixture[str]) -> None:
    SecondFactor.objects.create(user=cast.sre, seed=b"x", confirmed_at=timezone.now())
    call_command("recover_account", "sre", "--reason", "lost both", "--second-factor")
    link = capsys.readouterr().out.strip()
    assert Client().get(link.removeprefix(settings.FATHOM_URL)).status_code == 200
    assert not SecondFactor.objects.exists()
    told = AuditEvent.objects.filter(object_id=str(cast.sre.pk), reason="lost both", actor_label="system")
    assert set(told.values_list("action", flat=True)) == {"reset_second_factor", "issue_reset_link"}
    for name, sentence in (("nobody", "There is no nobody"), ("ivan", "The account is disabled")):
        with pytest.raises(CommandError, match=sentence):
            call_command("recover_account", name, "--reason", "x")
