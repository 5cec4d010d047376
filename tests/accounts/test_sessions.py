"""Sessions on the server: what is stored, how long one lives, and who may end it."""

import re
from datetime import timedelta

import pytest
from django.contrib.sessions.backends.base import UpdateError
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.utils import timezone

from apps.accounts import services
from apps.accounts.models import User, UserSession
from apps.accounts.sessions import SessionStore, digest
from apps.audit.models import AuditEvent
from apps.compute.reconcile import keep
from apps.core.errors import NotFound
from tests import people
from tests.people import PASSWORD, Cast

pytestmark = pytest.mark.django_db
COOKIE = "fathom_session"


def browser(name: str = "alice", **headers: str) -> Client:
    client = Client(REMOTE_ADDR="192.0.2.7", **headers)
    assert client.post("/login/", {"username": name, "password": PASSWORD}).status_code == 302
    return client


def row_of(client: Client) -> UserSession:
    return UserSession.objects.get(digest=digest(client.cookies[COOKIE].value))


def is_in(client: Client) -> bool:
    return client.get("/account/").status_code == 200


def test_the_database_does_not_hold_the_key(cast: Cast) -> None:
    client = browser(HTTP_USER_AGENT="Firefox\x1b[31m 140")
    key = client.cookies[COOKIE].value
    with connection.cursor() as cursor:
        cursor.execute("SELECT s::text FROM accounts_usersession s")
        dump = str(cursor.fetchall())
    assert key not in dump
    row = row_of(client)
    assert (row.user_id, row.ip, row.user_agent) == (cast.alice.pk, "192.0.2.7", "Firefox[31m 140")
    thief = Client()
    for stolen in (row.digest, str(row.pk)):
        thief.cookies[COOKIE] = stolen
        assert not is_in(thief)
    assert is_in(client)


def test_the_login_gives_a_new_session_every_time(cast: Cast) -> None:
    client = browser()
    first, key = row_of(client).pk, client.cookies[COOKIE].value
    client.post("/login/", {"username": "alice", "password": PASSWORD})
    assert row_of(client).pk != first
    assert not UserSession.objects.filter(pk=first).exists()
    old = Client()
    old.cookies[COOKIE] = key
    assert not is_in(old)
    assert is_in(client)


def test_a_new_key_keeps_the_session_and_ends_the_old_key(cast: Cast) -> None:
    client = browser()
    row, key = row_of(client), client.cookies[COOKIE].value
    store = SessionStore(key)
    store.cycle_key()
    assert not SessionStore(key).exists(key)
    again = row_of_key(str(store.session_key))
    assert (again.pk, again.created_at, again.expires_at) == (row.pk, row.created_at, row.expires_at)
    assert not is_in(client)


def row_of_key(key: str) -> UserSession:
    return UserSession.objects.get(digest=digest(key))


def test_a_key_that_opens_nothing_does_not_take_the_cookie_away(cast: Cast) -> None:
    """An answer to a request that still carried the old key must not undo the cookie that came with the new one."""
    client = Client()
    client.cookies[COOKIE] = "k" * 32
    answer = client.get("/account/")
    assert answer.status_code == 302
    assert COOKIE not in answer.cookies
    inside = browser()
    assert inside.post("/logout/").cookies[COOKIE].value == ""


@pytest.mark.parametrize("by_loop", [True, False])
def test_it_ends_when_idle_and_when_old(by_loop: bool, cast: Cast) -> None:
    idle, old, used = browser(), browser(), browser()
    now = timezone.now()
    UserSession.objects.filter(pk=row_of(idle).pk).update(last_seen_at=now - timedelta(minutes=481))
    UserSession.objects.filter(pk=row_of(old).pk).update(expires_at=now - timedelta(seconds=1))
    UserSession.objects.filter(pk=row_of(used).pk).update(last_seen_at=now - timedelta(minutes=479))
    assert [is_in(idle), is_in(old), is_in(used)] == [False, False, True]
    row = row_of(used)
    assert row.last_seen_at > now
    assert row.expires_at - row.created_at == pytest.approx(timedelta(days=7), abs=timedelta(seconds=5))
    assert UserSession.objects.run_out().count() == 2
    keep.purge() if by_loop else call_command("clearsessions")
    assert list(UserSession.objects.values_list("pk", flat=True)) == [row.pk]


def test_its_use_is_written_once_a_minute(cast: Cast) -> None:
    client = browser()
    before = row_of(client).last_seen_at
    assert is_in(client)
    assert row_of(client).last_seen_at == before
    UserSession.objects.update(last_seen_at=before - timedelta(seconds=61))
    assert is_in(client)
    assert row_of(client).last_seen_at > before


def test_what_was_ended_does_not_come_back(cast: Cast) -> None:
    """A request that was under way when the session ended cannot save it."""
    client = browser()
    under_way = SessionStore(client.cookies[COOKIE].value)
    under_way["seen"] = "something"
    services.end_session(row_of(client), by=people.as_admin(cast.sre), reason="stolen")
    with pytest.raises(UpdateError):
        under_way.save()
    assert not UserSession.objects.filter(user=cast.alice).exists()
    assert not is_in(client)


def test_one_ends_ones_own_and_nobody_elses(cast: Cast) -> None:
    mine, other, bobs = browser(), browser(), browser("bob")
    page = mine.get("/account/").text
    assert {str(row_of(client).pk) in page for client in (mine, other)} == {True}
    assert str(row_of(bobs).pk) not in page
    assert mine.post(f"/account/sessions/{row_of(bobs).pk}/end/").status_code == 404
    assert mine.post(f"/account/sessions/{row_of(other).pk}/end/")["Location"] == "/account/"
    assert [is_in(client) for client in (mine, other, bobs)] == [True, False, True]
    told = AuditEvent.objects.filter(action="end", object_type="accounts.usersession", actor=cast.alice)
    assert sorted(told.values_list("outcome", flat=True)) == ["denied", "ok"]
    with pytest.raises(NotFound):
        services.end_session(row_of(bobs), by=cast.alice)
    assert mine.post(f"/account/sessions/{row_of(mine).pk}/end/")["Location"] == "/login/"
    assert not is_in(mine)


def test_all_others_end_at_once(cast: Cast) -> None:
    mine, *others, bobs = browser(), browser(), browser(), browser("bob")
    answer = mine.post("/account/sessions/end-others/", follow=True)
    assert "2 other sessions ended." in answer.text
    assert [is_in(client) for client in (mine, *others, bobs)] == [True, False, False, True]


def test_sessions_over_the_api(cast: Cast) -> None:
    mine, other, bobs = browser(), browser(), browser("bob")
    listed = {row["id"]: row["is_current"] for row in mine.get("/api/v2/sessions/").json()["results"]}
    assert listed == {str(row_of(mine).pk): True, str(row_of(other).pk): False}
    assert "digest" not in mine.get("/api/v2/sessions/").text
    token = services.issue_token(cast.alice, by=cast.alice, name="t")[1]
    script = Client(headers={"Authorization": f"Bearer {token}"})
    assert {row["id"] for row in script.get("/api/v2/sessions/").json()["results"]} == set(listed)
    assert script.delete(f"/api/v2/sessions/{row_of(bobs).pk}/").status_code == 404
    assert script.delete(f"/api/v2/sessions/{row_of(other).pk}/").status_code == 204
    assert [is_in(client) for client in (mine, other, bobs)] == [True, False, True]


def test_an_admin_ends_anybodys_with_a_reason(cast: Cast) -> None:
    alice, operator = browser(), people.browser_of(cast.sre)
    url = "/admin/accounts/usersession/"
    chosen = {"action": "end", "_selected_action": str(row_of(alice).pk), "index": 0}
    assert "Why" not in operator.get(url).text
    assert operator.post(url, chosen).status_code == 200
    assert is_in(alice)
    assert operator.post(url, {**chosen, "_confirmed": "1", "reason": "laptop lost"}).status_code == 302
    assert not is_in(alice)
    event = AuditEvent.objects.get(action="end", object_type="accounts.usersession")
    assert (event.actor_id, event.reason, event.data) == (cast.sre.pk, "laptop lost", {"user": "alice"})
    assert not re.search(r"[0-9a-f]{64}", operator.get(url).text)


def test_disabling_ends_sessions_for_good(cast: Cast) -> None:
    alice = browser()
    services.disable_user(cast.alice, by=cast.sre, reason="left")
    assert not is_in(alice)
    services.enable_user(cast.alice, by=cast.sre, reason="came back")
    assert not is_in(alice)
    assert not UserSession.objects.filter(user=cast.alice).exists()


def test_a_password_set_behind_the_services_ends_sessions_too(cast: Cast) -> None:
    alice = browser()
    user = User.objects.get(pk=cast.alice.pk)
    user.set_password("something else entirely")
    user.save()
    assert not is_in(alice)
