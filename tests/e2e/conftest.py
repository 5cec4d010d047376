"""A real platform and a real browser. Nothing here is simulated: `manage.py up`, Chromium, jobs that train."""

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.e2e.browser import Screen, open_browser, open_window
from tests.platform import Platform, wait_for

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """Start a platform on a fresh data folder and free ports; end it as Ctrl-C does."""
    folder = tmp_path_factory.mktemp("e2e")
    folder.chmod(0o755)  # jobs run as a user of their own and must reach their folder
    found = Platform(folder / "home")
    found.start()
    yield found
    assert found.stop() == 0


@pytest.fixture(scope="session")
def setup_path(platform: Platform) -> str:
    """Return the one-time link that `up` printed."""
    found = wait_for(lambda: re.findall(r"/setup/fth_set_\w+/", platform.output), what="the set-up link")
    return str(found[0])


# For this package only: its event loop runs in this thread, where tests of others want their own.
@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Start one browser for all tests: that takes longer than many of them."""
    if CHROMIUM is None:
        pytest.fail("There is no Chromium. Install one, or name it in CHROMIUM.")
    with open_browser(CHROMIUM) as opened:
        yield opened


@pytest.fixture
def screen(browser: Browser, platform: Platform) -> Iterator[Screen]:
    """Open a fresh window; at its end no page may have complained in the console."""
    with open_window(browser, platform.url) as opened:
        yield opened
        assert opened.complaints == []


@pytest.fixture(scope="session")
def images() -> Path:
    folder = Path(__file__).resolve().parents[2] / "docs" / "images"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
