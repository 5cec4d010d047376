"""Share, look together, take back: two people in two browsers, while a log streams."""

import re
import time
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.browser import WIDE, Screen, open_window
from tests.platform import Platform, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(300)]
PASSWORD = "correct horse battery"
SPY = (
    "const Real = WebSocket; window.ended = [];"
    "window.WebSocket = class extends Real { constructor(...a) { super(...a);"
    " this.addEventListener('close', (e) => window.ended.push([e.code, Date.now()])); } };"
)


@pytest.fixture(scope="module", autouse=True)
def people(platform: Platform) -> None:
    for name in ("erin", "frank"):
        platform.make_user(name, password=PASSWORD)


@pytest.fixture
def erin(screen: Screen) -> Screen:
    screen.log_in("erin", PASSWORD)
    return screen


@pytest.fixture
def frank(screen: Screen) -> Iterator[Screen]:
    """Open a second window, with cookies of its own."""
    browser = screen.page.context.browser
    assert browser is not None
    with open_window(browser, screen.url) as other:
        other.log_in("frank", PASSWORD)
        yield other


def submit(screen: Screen, name: str, command: str) -> str:
    page = screen.go("/experiments/new/")
    page.fill("#id_name", name)
    page.get_by_text("Shell", exact=True).click()
    page.fill("#id_command", command)
    page.click("text=Submit experiment")
    page.wait_for_url(re.compile(r"/experiments/[0-9a-f-]{36}/$"))
    return page.url.removeprefix(screen.url)


def open_sheet(page: Page) -> None:
    page.get_by_role("link", name="Share", exact=True).click()
    expect(page.locator("#dialog .share")).to_be_visible()


def test_a_share_is_given_and_taken_while_the_log_streams(erin: Screen, frank: Screen) -> None:
    path = submit(erin, "counting", "for i in $(seq 1 6000); do echo line-$i; sleep 0.1; done")
    assert frank.page.goto(frank.url + path).status == 404  # type: ignore[union-attr]
    frank.complaints.clear()
    mine = erin.page
    open_sheet(mine)
    mine.fill("#dialog #id_name", "frank")
    mine.click("#dialog .share-form button:has-text('Share')")
    expect(mine.locator("#dialog .notices")).to_contain_text("frank is viewer now.")
    expect(mine.locator("#dialog .holders")).to_contain_text("through a share by erin")
    assert erin.accessibility() == []

    theirs = frank.page
    theirs.add_init_script(SPY)
    frank.go(f"{path}logs/")
    expect(theirs.locator("#log")).to_contain_text("line-2", timeout=30_000)
    expect(theirs.locator("#log-live")).to_have_attribute("data-live", "on")

    mine.get_by_role("button", name="Remove frank").click()
    expect(mine.locator("#dialog .notices")).to_contain_text("The share with frank has ended.")
    taken = time.time()  # at the latest: the page has said so
    code, at = wait_for(lambda: theirs.evaluate("window.ended"), every=0.1, what="the log's socket to close")[0]
    assert code == 4404
    assert at / 1000 - taken < 5.5  # 5 s, and what a browser needs
    assert theirs.goto(frank.url + path).status == 404  # type: ignore[union-attr]
    assert theirs.goto(frank.url + f"{path}logs/").status == 404  # type: ignore[union-attr]

    mine.keyboard.press("Escape")
    expect(mine.locator("#dialog")).to_be_hidden()
    mine.locator("summary:has-text('Stop')").click()
    mine.click("text=Stop it")


def test_who_may_not_see_asks_and_is_let_in(erin: Screen, frank: Screen) -> None:
    path = submit(erin, "asked for", "echo ready")
    theirs = frank.go(path)
    frank.complaints.clear()  # the 404 itself
    theirs.click("text=Ask for access")
    assert frank.accessibility() == []
    theirs.fill("#id_message", "For the paper.")
    theirs.get_by_role("button", name="Ask", exact=True).click()
    expect(theirs.locator(".notices")).to_contain_text("If there is such an object")
    assert frank.accessibility() == []

    mine = erin.go("/")
    expect(mine.locator(".nav-item .count")).to_have_text("1")
    mine.click("text=Requests")
    expect(mine.locator("main")).to_contain_text("frank asks to be viewer of asked for")
    assert erin.accessibility() == []
    mine.get_by_role("button", name="Grant").click()
    expect(mine.locator(".notices")).to_contain_text("frank was given access.")
    expect(frank.go(path).locator("h1")).to_have_text("asked for")


def test_the_sheet_is_a_page_without_scripts(erin: Screen) -> None:
    path = submit(erin, "plain", "echo plain")
    browser = erin.page.context.browser
    assert browser is not None
    context = browser.new_context(
        viewport=WIDE,  # type: ignore[arg-type]
        java_script_enabled=False,
        storage_state=erin.page.context.storage_state(),
    )
    page = context.new_page()
    page.goto(erin.url + path)
    page.get_by_role("link", name="Share", exact=True).click()
    page.wait_for_url(re.compile(r"/share/experiment/"))
    page.fill("#id_name", "nobody-at-all")
    page.click(".share-form button:has-text('Share')")
    expect(page.locator("#share-problem")).to_contain_text("There is nobody of this name")
    page.fill("#id_name", "frank")
    page.click(".share-form button:has-text('Share')")
    expect(page.locator(".holders")).to_contain_text("frank")
    page.locator(".holders select[name=role]").select_option("editor")
    page.get_by_role("button", name="Change").click()
    expect(page.locator(".notices")).to_contain_text("frank is editor now.")
    context.close()
