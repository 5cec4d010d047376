"""Seeing the platform as somebody does: how it begins, how it ends, and what ends it."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from channels.db import database_sync_to_async
from channels.testing import WebsocketCommunicator
from django.conf import settings
from django.db import connections
from django.test import Client
from django.utils import timezone

from apps.access.principal import SYSTEM
from apps.accounts import seeing, services
from apps.accounts.models import User, UserSession
from apps.accounts.services.seeing import LONGEST
from apps.audit.models import AuditEvent
from apps.core.errors import Conflict, Invalid, NotAllowed
from tests import people
from tests.people import Cast

KEY = settings.SESSION_COOKIE_NAME


@pytest.fixture
def cast(db: None) -> Cast:
    return people.make_cast()


def begin(browser: Client, person: User, reason: str = "she cannot find her run") -> Any:
    data = {"action": "see_as", "_selected_action": str(person.pk), "_confirmed": "1", "reason": reason}
    return browser.post("/admin/accounts/user/", data)


def events(*actions: str) -> list[AuditEvent]:
    return list(AuditEvent.objects.filter(action__in=actions or ("see_as", "see_as_end")).order_by("pk"))


def whoami(browser: Client) -> str:
    return str(browser.get("/").context["request"].user.username)


def test_begins_with_a_reason_under_a_new_key_and_ends_under_another(cast: Cast) -> None:
    browser = people.browser_of(cast.sre)
    first = browser.cookies[KEY].value
    answer = begin(browser, cast.alice)
    assert (answer.status_code, answer["Location"]) == (302, "/")
    second = browser.cookies[KEY].value
    assert second != first
    page = browser.get("/")
    assert "You see the platform as <b>alice</b>" in page.text
    assert page["Cache-Control"].startswith("max-age=0, no-cache, no-store")
    answer = browser.post("/seeing/stop/")
    assert answer["Location"] == f"/admin/accounts/user/{cast.alice.pk}/change/"
    assert browser.cookies[KEY].value not in {first, second}
    assert whoami(browser) == "sre"
    assert "You see the platform as" not in browser.get("/").text
    assert browser.get("/admin/").status_code == 200
    started, ended = events()
    assert (started.actor, started.reason, started.object_id) == (
        cast.sre,
        "she cannot find her run",
        str(cast.alice.pk),
    )
    assert (ended.actor, ended.data["why"], ended.object_id) == (cast.sre, "stopped", str(cast.alice.pk))


def test_old_key_of_the_session_is_nobody(cast: Cast) -> None:
    browser = people.browser_of(cast.sre)
    begin(browser, cast.alice)
    old = Client()
    old.cookies[KEY] = browser.cookies[KEY].value
    browser.post("/seeing/stop/")
    assert old.get("/").status_code == 302


def test_a_reason_is_asked_for(cast: Cast) -> None:
    browser = people.browser_of(cast.sre)
    assert "Say why." in begin(browser, cast.alice, " ").text
    assert whoami(browser) == "sre"
    assert events() == []
    with pytest.raises(Invalid):
        services.begin_seeing(cast.alice, by=cast.sre, reason=" ")


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("aud", "Admins and auditors are not looked through."),
        ("other", "Admins and auditors are not looked through."),
        ("ivan", "ivan is disabled and sees nothing."),
        ("sre", "You see the platform as yourself already."),
        ("robot", "robot is a service account and opens no pages."),
    ],
)
def test_who_is_not_looked_through(name: str, sentence: str, cast: Cast) -> None:
    cast.people["other"] = services.create_user("other", by=SYSTEM, is_admin=True)
    cast.people["robot"] = services.create_user("robot", by=SYSTEM)
    User.objects.filter(username="robot").update(service_of=cast.team)
    person = User.objects.get(username=name)
    browser = people.browser_of(cast.sre)
    begin(browser, person)
    assert whoami(browser) == "sre"
    assert events() == []
    with pytest.raises(Conflict) as refusal:
        services.begin_seeing(person, by=cast.sre, reason="x")
    assert refusal.value.detail == sentence


@pytest.mark.parametrize("name", ["alice", "aud", "resting"])
def test_who_may_not_look(name: str, cast: Cast) -> None:
    cast.people["resting"] = services.create_user("resting", by=SYSTEM, is_admin=True)
    with pytest.raises(NotAllowed):
        services.begin_seeing(cast.bob, by=cast.people[name], reason="x")
    if name != "resting":
        browser = people.browser_of(cast.people[name])
        begin(browser, cast.bob)
        assert whoami(browser) == name
    assert events() == []


def test_not_through_a_token(cast: Cast) -> None:
    _, value = services.issue_token(cast.sre, by=SYSTEM, name="t", scopes=["admin"], expires_in=timedelta(hours=1))
    with pytest.raises(NotAllowed):
        services.begin_seeing(cast.alice, by=services.authenticate_token(value), reason="x")


def test_lasts_a_quarter_of_an_hour_at_most(cast: Cast) -> None:
    cast.sre.elevated_until = timezone.now() + timedelta(hours=3)
    assert services.begin_seeing(cast.alice, by=cast.sre, reason="x") <= timezone.now() + LONGEST
    cast.sre.elevated_until = timezone.now() + timedelta(minutes=5)
    assert services.begin_seeing(cast.alice, by=cast.sre, reason="x") == cast.sre.elevated_until


def shift(browser: Client, **more: Any) -> None:
    session = browser.session
    session["seeing"] = {**session["seeing"], **more}
    session.save()


def demote(cast: Cast, _browser: Client) -> None:
    services.set_platform_role(User.objects.get(pk=cast.sre.pk), "", by=SYSTEM)


def rest(_cast: Cast, browser: Client) -> None:
    assert browser.session.row is not None
    UserSession.objects.filter(pk=browser.session.row.pk).update(elevated_until=timezone.now())


ENDINGS = {
    "time": lambda _cast, browser: shift(browser, until=timezone.now().timestamp() - 1),
    "admin demoted": demote,
    "admin rights over": rest,
    "person promoted": lambda cast, _browser: services.set_platform_role(cast.alice, "auditor", by=SYSTEM),
    "person disabled": lambda cast, _browser: services.disable_user(cast.alice, by=SYSTEM, reason="x"),
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_what_is_over_is_over_and_nothing_is_done_by_accident(ending: str, cast: Cast) -> None:
    """A form that was opened as alice must not be carried out as sre."""
    browser = people.browser_of(cast.sre)
    begin(browser, cast.alice)
    assert whoami(browser) == "alice"
    ENDINGS[ending](cast, browser)
    answer = browser.post("/tokens/", {"name": "t", "scope": "all", "expires_in_days": "7"})
    assert answer.status_code == 403
    assert "the time was up" in answer.text
    assert not User.objects.get(username="sre").api_tokens.exists()
    assert events("see_as_end")[0].data == {"why": "the time was up"}
    assert whoami(browser) == "sre"


def test_a_page_after_the_end_leads_home(cast: Cast) -> None:
    browser = people.browser_of(cast.sre)
    begin(browser, cast.alice)
    ENDINGS["time"](cast, browser)
    answer = browser.get("/usage/")
    assert (answer.status_code, answer["Location"]) == (302, "/")
    assert "the time was up" in browser.get("/").text


def test_stop_is_harmless_for_everybody_else(cast: Cast) -> None:
    browser = people.browser_of(cast.alice)
    assert browser.post("/seeing/stop/")["Location"] == "/"
    assert whoami(browser) == "alice"
    assert events() == []


def test_stop_needs_the_csrf_token(cast: Cast) -> None:
    browser = people.browser_of(cast.sre)
    begin(browser, cast.alice)
    strict = Client(enforce_csrf_checks=True)
    strict.cookies[KEY] = browser.cookies[KEY].value
    assert strict.post("/seeing/stop/").status_code == 403
    assert whoami(browser) == "alice"


def test_a_session_cannot_name_a_person_that_its_user_may_not_see_as(cast: Cast) -> None:
    """Only an acting admin's session is believed."""
    browser = people.browser_of(cast.bob)
    session = browser.session
    seeing.begin(session, cast.alice, timezone.now() + timedelta(minutes=5))
    session.save()
    assert browser.get("/").status_code == 302
    assert whoami(browser) == "bob"


def test_preview_shows_the_refusal(cast: Cast) -> None:
    browser = people.browser_of(cast.sre)
    data = {"action": "see_as", "_selected_action": str(cast.aud.pk)}
    assert "Admins and auditors are not looked through." in browser.post("/admin/accounts/user/", data).text
    assert events() == []


@pytest.mark.django_db(transaction=True)
def test_websocket_sees_the_same_and_ends_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from config.routing import application

    monkeypatch.setattr("apps.access.consumers.RECHECK_SECONDS", 0.1)
    cast = people.make_cast()
    people.fake_cluster()
    mine = people.submit(cast.alice, name="mine", visibility="private")
    hidden = people.submit(cast.bob, name="hidden", visibility="private")
    browser = people.browser_of(cast.sre)
    begin(browser, cast.alice)

    def stop() -> None:
        browser.post("/seeing/stop/")
        connections.close_all()

    async def scenario() -> tuple[bool, int, int]:
        opened = _socket(application, browser, mine.pk)
        accepted, _ = await opened.connect(timeout=10)
        other = _socket(application, browser, hidden.pk)
        await other.connect(timeout=10)
        refused = await _closing(other)
        await asyncio.to_thread(stop)
        closed = await _closing(opened)
        await database_sync_to_async(connections.close_all)()
        return accepted, refused, closed

    assert asyncio.run(scenario()) == (True, 4404, 4401)


def _socket(application: Any, browser: Client, pk: Any) -> WebsocketCommunicator:
    host = settings.FATHOM_URL.partition("://")[2]
    headers = [
        (b"origin", settings.FATHOM_URL.encode()),
        (b"host", host.encode()),
        (b"cookie", f"{KEY}={browser.cookies[KEY].value}".encode()),
    ]
    from config.routing import websocket_urlpatterns

    path = f"/{websocket_urlpatterns[0].pattern}".replace("<uuid:experiment>", str(pk))
    return WebsocketCommunicator(application, path, headers=headers)


async def _closing(socket: WebsocketCommunicator) -> int:
    while True:
        message = await socket.receive_output(timeout=20)
        if message["type"] == "websocket.close":
            return int(message["code"])
