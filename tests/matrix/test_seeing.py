"""An admin who sees the platform as alice: every page as she sees it, nothing changed, nothing of her secrets shown."""

import re
from typing import Any

import orjson
import pytest
from django.conf import settings
from django.db import connection
from django.test import Client
from django.urls import reverse

from apps.accounts import seeing, services
from apps.accounts.seeing_middleware import PERSONAL
from apps.audit.models import AuditEvent
from tests import people
from tests.matrix import asking
from tests.matrix.table import API, PAGES, Row
from tests.matrix.world import SECRET, World

pytestmark = pytest.mark.django_db
SAFE = {"GET", "HEAD", "OPTIONS"}
UNSAFE = [row for row in (*PAGES, *API) if row.method not in SAFE and row.name != "seeing-stop"]
READ = [row for row in (*PAGES, *API) if row.method == "GET" and not row.public and not PERSONAL.search(row.name)]
HIDDEN = [row for row in (*PAGES, *API) if row.method == "GET" and PERSONAL.search(row.name)]
_BANNER = re.compile(rb'<div class="seeing".*?</form>\s*</div>', re.DOTALL)
_AGE = re.compile(rb'((?:data-since="[^"]*"|data-ago)>)[^<]*')
_BLANK = re.compile(rb"\s+")


def looking_on(world: World) -> Client:
    """The browser of sre, who sees the platform as alice."""
    browser = people.browser_of(world.cast.sre)
    session = browser.session
    until = services.begin_seeing(world.cast.alice, by=world.cast.again("sre"), reason="she cannot find her run")
    seeing.begin(session, world.cast.alice, until)
    session.save()
    return browser


def counts() -> dict[str, int]:
    """What is stored in every table, but for the refusals themselves: those are written down."""
    with connection.cursor() as cursor:
        found = {}
        for table in sorted({*connection.introspection.table_names(cursor)} - {"audit_denialcount"}):
            done = "WHERE outcome <> 'denied'" if table == "audit_auditevent" else ""
            cursor.execute(f"SELECT count(*), coalesce(max(md5(t::text)), '') FROM \"{table}\" t {done}")
            found[table] = cursor.fetchone()
    return found


@pytest.mark.parametrize("row", UNSAFE, ids=lambda row: row.key)
def test_nothing_can_be_changed(row: Row, world: World) -> None:
    browser = looking_on(world)
    before = counts()
    url = reverse(row.name, kwargs=row.names(world)) + row.query
    given = {"content_type": "application/json"} if row.name.startswith("api-") else {}
    response = getattr(browser, row.method.lower())(url, row.data(world), **given)
    assert response.status_code == 403
    body = response.content.decode()
    assert "You see the platform as alice does; nothing can be changed." in body
    if row.name.startswith("api-"):
        assert orjson.loads(body)["code"] == "forbidden"
    assert counts() == before


@pytest.mark.parametrize("row", READ, ids=lambda row: row.key)
def test_every_page_is_as_she_sees_it(row: Row, world: World) -> None:
    """Byte for byte, but for the banner, the one-time token of the forms, and how long ago something was."""
    hers = asking.ask(asking.as_browser(world, "alice"), row, world)
    seen = asking.ask(looking_on(world), row, world)
    assert seen[0] == hers[0]
    is_page = not row.name.startswith("api-") and b"<html" in hers[1]
    assert (b'class="seeing"' in seen[1]) is is_page
    assert _plain(seen[1]) == _plain(hers[1])


def _plain(body: bytes) -> bytes:
    body = re.sub(rb"ticket=[^\"&]+", b"", _BANNER.sub(b"", body))
    body = _AGE.sub(rb"\1", body)  # the moment stands beside it
    return _BLANK.sub(b" ", asking.without_ids(body))


@pytest.mark.parametrize("row", HIDDEN, ids=lambda row: row.key)
def test_what_unlocks_is_not_shown(row: Row, world: World) -> None:
    status, body = asking.ask(looking_on(world), row, world)
    assert status == 403
    assert b"it is not shown to who looks on" in body
    assert SECRET.encode() not in body
    assert world.token.prefix.encode() not in body


def test_pages_of_secrets_are_there_to_be_hidden() -> None:
    assert {row.name for row in HIDDEN} >= {"token-list", "api-token-list", "api-token-detail"}


def test_the_operators_pages_are_closed(world: World) -> None:
    browser = looking_on(world)
    for path in ("/admin/", "/admin/accounts/user/", "/admin/audit/auditevent/", "/admin/login/"):
        assert browser.get(path, follow=True).status_code == 403
    assert browser.post("/admin/logout/").status_code == 403


def test_the_refusal_does_not_hang_on_the_door(world: World) -> None:
    """A service that is reached all the same refuses as well: the policy knows who looks on."""
    seen: Any = world.cast.again("alice")
    seen.seen_by = world.cast.sre
    from apps.core.errors import NotAllowed
    from apps.experiments import services as experiments

    before = counts()
    with pytest.raises(NotAllowed, match="nothing can be changed"):
        experiments.stop_experiment(world.waiting, by=seen, reason="x")
    with pytest.raises(NotAllowed):
        services.issue_token(seen, by=seen, name="t")
    with pytest.raises(NotAllowed):
        services.revoke_token(world.token, by=seen)
    assert counts() == before


def test_what_is_written_meanwhile_names_both(world: World) -> None:
    from apps.audit import services as audit

    seen: Any = world.cast.again("alice")
    seen.seen_by = world.cast.sre
    audit.record("look", world.ended, by=seen)
    event = AuditEvent.objects.latest("pk")
    assert (event.actor_id, event.actor_label) == (world.cast.sre.pk, "sre")
    assert event.on_behalf_of == "alice"


def test_her_session_and_tokens_are_not_touched(world: World) -> None:
    browser = looking_on(world)
    browser.get("/")
    cookie = browser.cookies[settings.SESSION_COOKIE_NAME].value
    assert cookie != world.sessions["alice"]
    assert asking.as_browser(world, "alice").get("/tokens/").status_code == 200
