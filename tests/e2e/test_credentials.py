"""A secret's way through the whole platform: typed into a browser, used by a real job, replaced by the command line."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.e2e.browser import Screen
from tests.platform import Platform

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(300)]
PASSWORD = "correct horse battery"
FIRST, SECOND = "canary-typed-9f27", "canary-piped-4c1e"


@pytest.fixture(scope="module")
def token(platform: Platform) -> str:
    return platform.make_user("cleo", password=PASSWORD)


def _fathom(platform: Platform, token: str, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "FATHOM_URL": platform.url, "FATHOM_TOKEN": token}
    command = [sys.executable, "-m", "fathom", *words]
    return subprocess.run(
        command, env=environment, input=stdin, capture_output=True, text=True, timeout=120, check=False
    )


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:  # the database's files come and go
        return b""


def test_a_secret_is_stored_used_and_replaced(platform: Platform, token: str, screen: Screen) -> None:
    screen.log_in("cleo", PASSWORD)
    page = screen.go("/credentials/")
    expect(page.locator("main")).to_contain_text("No credentials yet")
    page.click("main >> text=New credential")
    page.click("main >> text=Container registry")
    page.fill("#id_name", "hub")
    page.fill("#id_value_server", "registry.example.org")
    page.fill("#id_value_username", "robot")
    page.fill("#id_value_password", FIRST)
    assert screen.accessibility() == []
    page.click("text=Store credential")
    page.wait_for_url(re.compile(r"/credentials/[0-9a-f-]{36}/$"))
    expect(page.locator("main")).to_contain_text("HUB_PASSWORD_FILE")
    assert FIRST not in page.content()
    assert screen.accessibility() == []

    page = screen.go("/experiments/new/")
    page.fill("#id_name", "push")
    page.fill("#id_command", 'echo "$HUB_USERNAME"; cat "$HUB_PASSWORD_FILE"; echo; rev < "$HUB_PASSWORD_FILE"')
    page.get_by_label("hub · Container registry").check()
    expect(page.locator("#preview")).to_contain_text("--credential hub")
    page.click("text=Submit experiment")
    page.wait_for_url(re.compile(r"/experiments/[0-9a-f-]{36}/$"))
    run = page.url.removeprefix(screen.url)
    expect(page.locator("#run-status .state")).to_have_text("succeeded", timeout=60_000)
    assert _fathom(platform, token, "logs", run.split("/")[2]).stdout.split() == ["robot", "***", FIRST[::-1]]
    page = screen.go(run)
    expect(page.locator("main")).to_contain_text("Credentials used")
    assert screen.accessibility() == []

    replaced = _fathom(platform, token, "credentials", "replace", "hub", "--from-file", "password=-", stdin=SECOND)
    assert (replaced.returncode, SECOND in replaced.stdout + replaced.stderr) == (0, False)
    platform.manage("from django.core.management import call_command; call_command('keys', 'rotate', '--values')")
    script = 'rev < "$REG_PASSWORD_FILE"'
    done = _fathom(platform, token, "run", "--credential", "hub:REG", "--", script)
    assert (done.returncode, done.stdout.strip()) == (0, SECOND[::-1]), done.stderr
    assert not [value for value in (FIRST, SECOND) if value in platform.output]
    files = [path for path in platform.home.rglob("*") if path.is_file()]
    assert any(path.name == "web.log" or path.suffix == ".log" for path in files)
    # The whole data folder: database with its journal, hints, logs, blobs, jobs.
    assert [
        path for path in files if (found := _read(path)) and any(v.encode() in found for v in (FIRST, SECOND))
    ] == []
