"""The two things that people do with directories in a browser: come in through a provider, and apply a dry run."""

from collections.abc import Iterator
from typing import Any

import pytest

from apps.access.principal import SYSTEM
from apps.accounts import services as accounts
from apps.accounts.models import User
from apps.directory import oidc, services
from apps.directory.models import DirectoryRule, DirectorySync
from apps.teams.models import Membership
from tests.directory.openid import CLIENT, SECRET, OpenIdProvider
from tests.directory.slapd import PASSWORD, Slapd, dn_of
from tests.e2e.browser import Screen, open_browser, open_window
from tests.e2e.conftest import CHROMIUM
from tests.people import PASSWORD as LOCAL_PASSWORD
from tests.people import make_cast

pytestmark = [pytest.mark.e2e, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def screen(live_server: Any, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Screen]:
    if CHROMIUM is None:
        pytest.fail("There is no Chromium. Install one, or name it in CHROMIUM.")
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")  # the browser's event loop runs in this thread
    settings.FATHOM_URL = live_server.url
    with open_browser(CHROMIUM) as browser, open_window(browser, live_server.url) as opened:
        yield opened
        # Neither the provider's own pages count, nor that browsers ask for a favicon.ico.
        ours = [one for one in opened.complaints if opened.url in one and "404 (Not Found)" not in one]
        assert ours == []


@pytest.fixture
def provider(live_server: Any, settings: Any) -> Iterator[OpenIdProvider]:
    found = OpenIdProvider(f"{live_server.url}/login/oidc/")
    found.know({"1001": {"preferred_username": "olga", "email": "olga@example.org", "groups": []}})
    values = {"ISSUER": found.issuer, "CLIENT_ID": CLIENT, "CLIENT_SECRET": SECRET, "NAME": "Example"}
    for name, value in values.items():
        setattr(settings, f"FATHOM_OIDC_{name}", value)
    oidc._known = None
    yield found
    found.remove()


def test_coming_in_through_a_provider(screen: Screen, provider: OpenIdProvider) -> None:
    page = screen.go("/usage/")
    page.wait_for_selector("h1:has-text('Log in')")
    assert screen.accessibility() == []
    page.click("a:has-text('Log in with Example')")
    page.fill("input[name=login]", "1001")
    page.fill("input[name=password]", "any")
    page.click("button[type=submit]")
    page.wait_for_selector("text=Authorize")
    page.click("button[type=submit]")
    page.wait_for_url(f"{screen.url}/usage/")
    assert User.objects.get().username == "olga"


def test_a_dry_run_and_the_sync_that_follows(screen: Screen, slapd: Slapd) -> None:
    cast = make_cast()
    services.save_rule(DirectoryRule(source="ldap", group="research", team=cast.team, role="member"), by=SYSTEM)
    accounts.log_in("ana", PASSWORD)
    slapd.remove_members("vision-core", dn_of("ana"))
    screen.log_in("sre", LOCAL_PASSWORD)
    page = screen.go("/elevate/?next=/admin/")
    screen.elevate(LOCAL_PASSWORD, "rules of the directory")
    page.click("a:has-text('Directory syncs')")
    page.click("a:has-text('Dry run and sync')")
    page.wait_for_selector("li:has-text('ana leaves vision, was member')")
    heard = list(screen.complaints)
    assert screen.accessibility() == []
    screen.complaints[:] = heard  # axe itself breaks the policy
    assert Membership.objects.filter(user__username="ana").exists()
    page.click("input[value='Sync now']")
    page.wait_for_selector("text=Done")
    assert not Membership.objects.filter(user__username="ana").exists()
    assert DirectorySync.objects.get().outcome == "done"
