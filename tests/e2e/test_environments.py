"""An environment's way through the whole platform: typed into a browser, built by the worker, used by real jobs."""

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
SCRIPT = "import six, os; print(six.__version__, os.environ['MODE'], os.environ['VIRTUAL_ENV'].split('/')[-1])"


@pytest.fixture(scope="module")
def token(platform: Platform) -> str:
    return platform.make_user("edda", password=PASSWORD)


def _fathom(platform: Platform, token: str, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "FATHOM_URL": platform.url, "FATHOM_TOKEN": token}
    command = [sys.executable, "-m", "fathom", *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


def test_from_the_form_to_a_job_in_it(platform: Platform, token: str, screen: Screen) -> None:
    screen.log_in("edda", PASSWORD)
    page = screen.go("/environments/")
    expect(page.locator("main")).to_contain_text("No environments yet")
    page.click("main >> text=New environment")
    page.fill("#id_name", "tools")
    page.fill("#id_packages", "six==1.16.0\n-e .")
    page.fill("#id_variables", "MODE=fast")
    assert screen.accessibility() == []
    page.click("text=Create environment")
    expect(page.locator("#id_packages_error")).to_contain_text("line 2 (-e .)")
    screen.complaints.clear()  # the browser's own, of an answer that is no success
    page.fill("#id_packages", "six==1.16.0")
    page.click("text=Create environment")
    page.wait_for_url(re.compile(r"/environments/[0-9a-f-]{36}/versions/1/$"))
    expect(page.locator("#builds")).to_contain_text("Not built yet")
    assert screen.accessibility() == []
    page.click("main >> text=Run something in it")
    page.fill("#id_name", "first")
    page.fill("#id_command", f'python -c "{SCRIPT}"')
    expect(page.locator("#id_environment")).to_have_value("tools@1")
    expect(page.locator("#preview")).to_contain_text("--environment tools@1")
    page.click("text=Submit experiment")
    page.wait_for_url(re.compile(r"/experiments/[0-9a-f-]{36}/$"))
    run = page.url.removeprefix(screen.url)
    expect(page.locator("#run-status .state")).to_have_text("succeeded", timeout=120_000)
    said = _fathom(platform, token, "logs", run.split("/")[2]).stdout.split()
    assert said[:2] == ["1.16.0", "fast"]
    page = screen.go(run)
    page.click("main >> text=tools@1")
    expect(page.locator("#builds .state")).to_have_text("ready")
    expect(page.locator("#builds")).to_contain_text("+ six==1.16.0")
    assert screen.accessibility() == []
    screen.page.screenshot(path=str(Path(os.environ.get("FATHOM_SHOTS", "/tmp")) / "environment.png"), full_page=True)


def test_from_the_command_line(platform: Platform, token: str, tmp_path: Path) -> None:
    file = tmp_path / "environment.yml"
    file.write_text("dependencies: [python, pip, six=1.16, {pip: [tomli]}]\nvariables: {MODE: slow}\n")
    made = _fathom(platform, token, "env", "create", "conda", "-f", str(file))
    assert (made.returncode, made.stdout.strip()) == (0, "conda@1"), made.stderr
    built = _fathom(platform, token, "env", "build", "conda")
    assert (built.returncode, "ready" in built.stdout) == (0, True), built.stdout + built.stderr
    done = _fathom(platform, token, "run", "--environment", "conda", "--", "python", "-c", SCRIPT)
    assert done.stdout.split()[:2] == ["1.16.0", "slow"], done.stderr
    file.write_text("six\nfathom-has-no-such-package-7c1\n")
    assert _fathom(platform, token, "env", "add", "conda", "-f", str(file)).stdout.strip() == "conda@2"
    broken = _fathom(platform, token, "env", "build", "conda")
    assert (broken.returncode, "line 2 (fathom-has-no-such-package-7c1)" in broken.stdout) == (1, True), broken.stdout
    failed = _fathom(platform, token, "run", "--environment", "conda", "--", "true")
    assert failed.returncode != 0
    assert "line 2 (fathom-has-no-such-package-7c1)" in failed.stdout + failed.stderr
    shown = _fathom(platform, token, "env", "show", "conda@1")
    assert "six==1.16.*, tomli" in shown.stdout
    lock = _fathom(platform, token, "env", "log", "conda@1", "--cluster", "local", "--lock").stdout
    assert "--hash=sha256:" in lock
    assert _fathom(platform, token, "env", "list").stdout.count("conda") == 1
    assert _fathom(platform, token, "env", "update", "conda", "--description", "x").returncode == 0
    assert _fathom(platform, token, "env", "delete", "conda").returncode == 0
    gone = _fathom(platform, token, "run", "--environment", "conda", "--", "true")
    assert (gone.returncode, "no such environment" in gone.stderr) == (2, True), gone.stderr
