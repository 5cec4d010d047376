"""A browser window that remembers every complaint, and can be asked what assistive technology would stumble over."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, ConsoleMessage, Page, Response, expect, sync_playwright

AXE = Path(__file__).parent / "vendor" / "axe.min.js"
_FLAGS = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
WIDE = {"width": 1380, "height": 860}
NARROW = {"width": 420, "height": 800}
_TWO_FRAMES = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"  # all is drawn then
# What changes by and by, as colours of links do when the scheme changes, is at its end; what never ends is left out.
_AT_REST = "document.getAnimations().forEach((each) => { try { each.finish() } catch { each.cancel() } })"
PATIENCE = 60_000  # milliseconds; a page that needs them all has failed, also on a machine that does much else
expect.set_options(timeout=PATIENCE)


@dataclass
class Screen:
    page: Page
    url: str
    complaints: list[str] = field(default_factory=list)

    def go(self, path: str) -> Page:
        self.page.goto(self.url + path)
        return self.page

    def log_in(self, name: str, password: str) -> None:
        page = self.go("/login/")
        page.fill("#id_username", name)
        page.fill("#id_password", password)
        page.click("button:has-text('Log in')")
        page.wait_for_url(self.url + "/")

    def elevate(self, password: str, reason: str) -> None:
        """Fill in the page that asks an admin who he is, which is open."""
        page = self.page
        page.fill("#id_password", password)
        page.fill("#id_reason", reason)
        page.click("button:has-text('Act as admin')")

    def accessibility(self) -> list[str]:
        """Return what axe finds on the page as it is now. The script goes in beside the page's own policy."""
        # Colours are measured at rest: an animation, a hover or half the style sheets would be caught half way.
        self.page.wait_for_load_state()
        self.page.evaluate(_TWO_FRAMES)
        self.page.evaluate(_AT_REST)
        self.page.evaluate(AXE.read_text())
        # Without `preload`: it would put style sheets into the page, which the policy refuses, and says so.
        found: dict[str, Any] = self.page.evaluate("axe.run(document, {resultTypes: ['violations'], preload: false})")
        return [
            f"{self.page.url} {violation['id']}: {node['target']} {node['failureSummary']}"
            for violation in found["violations"]
            for node in violation["nodes"]
        ]

    def hear(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.complaints.append(f"{self.page.url}: {message.text}")

    def receive(self, response: Response) -> None:
        if response.status >= 400:
            self.complaints.append(f"{response.status} {response.url}")


@contextmanager
def open_browser(executable: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=_FLAGS)
        yield browser
        browser.close()


@contextmanager
def open_window(browser: Browser, url: str) -> Iterator[Screen]:
    """Open a window that shares nothing with others: neither cookies nor storage."""
    context = browser.new_context(viewport=WIDE, reduced_motion="reduce")  # type: ignore[arg-type]
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    screen = Screen(page, url)
    page.on("console", screen.hear)
    page.on("pageerror", lambda error: screen.complaints.append(f"{page.url}: {error}"))
    page.on("response", screen.receive)
    yield screen
    context.close()
