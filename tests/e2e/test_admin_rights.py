"""Admin rights, a second factor and a password, as a person meets them in a browser."""

import pyotp
import pytest
from playwright.sync_api import expect

from tests.e2e.browser import Screen
from tests.platform import Platform

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(300)]
PASSWORD = "correct horse battery"


@pytest.fixture(scope="module", autouse=True)
def people(platform: Platform) -> None:
    platform.make_user("ops", password=PASSWORD, is_admin=True)
    platform.make_user("paula", password=PASSWORD)


def test_an_admin_takes_up_his_rights_and_lays_them_down(screen: Screen) -> None:
    screen.log_in("ops", PASSWORD)
    page = screen.go("/admin/accounts/user/")
    page.wait_for_url(f"{screen.url}/elevate/?next=/admin/accounts/user/")
    expect(page.locator("h1")).to_have_text("Act as admin")
    assert screen.accessibility() == []
    screen.elevate(PASSWORD, "look after paula")
    page.wait_for_url(f"{screen.url}/admin/accounts/user/")
    expect(page.locator(".acting")).to_contain_text("You act as admin until")
    screen.go("/")
    expect(page.locator(".acting")).to_contain_text("You act as admin until")
    assert screen.accessibility() == []
    page.click("text=End now")
    expect(page.locator(".notices")).to_contain_text("You no longer act as an admin.")
    expect(page.locator(".acting")).to_have_count(0)
    screen.go("/admin/")
    page.wait_for_url(f"{screen.url}/elevate/?next=/admin/")


def test_a_second_factor_is_scanned_confirmed_and_asked_for(screen: Screen) -> None:
    screen.log_in("ops", PASSWORD)
    page = screen.go("/account/")
    assert screen.accessibility() == []
    page.click("text=Set it up")
    picture = page.locator("img.qr")
    expect(picture).to_be_visible()
    assert picture.evaluate("image => image.complete && image.naturalWidth > 0")
    assert screen.accessibility() == []
    seed = page.locator("#seed").inner_text()
    page.fill("#id_password", PASSWORD)
    page.fill("#id_code", pyotp.TOTP(seed).now())
    page.click("text=Switch it on")
    expect(page.locator("#recovery-codes li")).to_have_count(10)
    code = page.locator("#recovery-codes li").first.inner_text()
    screen.go("/elevate/")
    page.fill("#id_code", code)
    screen.elevate(PASSWORD, "with a recovery code")
    expect(page.locator(".acting")).to_contain_text("You act as admin until")


def test_a_changed_password_logs_the_other_browser_out(screen: Screen, platform: Platform) -> None:
    screen.log_in("paula", PASSWORD)
    browser = screen.page.context.browser
    assert browser is not None
    other = browser.new_context().new_page()
    for name, value in (("#id_username", "paula"), ("#id_password", PASSWORD)):
        if other.url == "about:blank":
            other.goto(f"{screen.url}/login/")
        other.fill(name, value)
    other.click("button:has-text('Log in')")
    other.wait_for_url(f"{screen.url}/")
    page = screen.go("/account/")
    expect(page.locator("tbody tr")).to_have_count(2)
    page.fill("#id_current_password", PASSWORD)
    page.fill("#id_new_password", "another horse battery")
    page.fill("#id_again", "another horse battery")
    page.click("button:has-text('Change password')")
    expect(page.locator(".notices")).to_contain_text("every other session of yours has ended")
    expect(page.locator("tbody tr")).to_have_count(1)
    other.goto(f"{screen.url}/account/")
    assert other.url.startswith(f"{screen.url}/login/")
