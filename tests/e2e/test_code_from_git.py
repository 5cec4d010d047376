"""Code from a private repository through the whole platform: typed into a browser, fetched by the worker, run by real jobs."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

import fathom
from tests.e2e.browser import Screen
from tests.platform import Platform
from tests.sources import servers
from tests.sources.servers import Web, commit, git, repository

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(300)]
PASSWORD = "correct horse battery"
SECRET = "tok-8f41c2-of-the-browser"
SCRIPT = "print('learned', open('rate.txt').read().strip())\n"


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    with servers.web_server(tmp_path_factory.mktemp("web")) as made:
        made.who = f"gitta:{SECRET}"
        yield made


@pytest.fixture(scope="module")
def work(web: Web) -> Path:
    return repository(web.root, "digits", {"train/train.py": SCRIPT, "train/rate.txt": "0.1\n", "README": "digits\n"})


@pytest.fixture(scope="module")
def platform(web: Web, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """One that may ask loopback, where the server is, and that knows its certificate."""
    folder = tmp_path_factory.mktemp("git")
    folder.chmod(0o755)
    made = Platform(folder / "home")
    made.extra = {"FATHOM_FETCH_NETWORKS": "127.0.0.0/8", "FATHOM_FETCH_CA_FILE": str(web.ca)}
    made.start()
    yield made
    assert made.stop() == 0


@pytest.fixture(scope="module")
def token(platform: Platform, web: Web) -> str:
    made = platform.make_user("gitta", password=PASSWORD)
    with fathom.Client(platform.url, made) as client:
        values = {"host": web.host, "username": "gitta", "token": SECRET}
        client.credentials.create("my-git", "git_https", values)
        client.credentials.create("stale-git", "git_https", {**values, "token": "an-old-one"})
    return made


def test_from_the_form_to_a_job_that_runs_it(
    platform: Platform, token: str, web: Web, work: Path, screen: Screen
) -> None:
    screen.log_in("gitta", PASSWORD)
    page = screen.go("/experiments/new/")
    page.fill("#id_command", "python train.py")
    page.click("#fetched-code > summary")
    page.fill("#id_git_url", "file:///etc")
    page.click("text=Submit experiment")
    expect(page.locator("#id_git_url_error")).to_contain_text("Not an address that code is fetched from")
    screen.complaints.clear()  # the browser's own, of an answer that is no success
    page.fill("#id_git_url", web.url("git/digits.git"))
    page.fill("#id_git_subfolder", "train")
    page.select_option("#id_code_credential", "my-git")
    assert screen.accessibility() == []
    page.click("text=Submit experiment")
    page.wait_for_url(re.compile(r"/experiments/[0-9a-f-]{36}/$"))
    expect(page.locator("#run-status .state")).to_have_text("succeeded", timeout=120_000)
    page = screen.go(page.url.removeprefix(screen.url))
    expect(page.locator("main")).to_contain_text(git(work, "rev-parse", "HEAD")[:8])
    assert screen.accessibility() == []
    assert "learned 0.1" in _fathom(platform, token, "logs", page.url.split("/")[-2]).stdout
    assert SECRET not in page.content()


def test_a_wrong_credential_gives_a_reason(platform: Platform, token: str, web: Web, work: Path) -> None:
    with fathom.Client(platform.url, token) as client:
        code = {"git": {"url": web.url("git/digits.git"), "credential": "stale-git"}}
        made = client.experiments.create({"command": "python train.py", "code": code})
        ended = client.experiments.wait(made.id, timeout=60)
    assert ended.state == "failed"
    assert "does not accept the credential" in str(ended.raw["message"])
    assert "Traceback" not in str(ended.raw)


def test_from_a_working_tree_with_changes(platform: Platform, token: str, web: Web, work: Path) -> None:
    """Its remote is the server; what is changed and new goes along, what is ignored stays."""
    git(work, "remote", "set-url", "origin", web.url("git/digits.git"))
    commit(work, {".gitignore": "data/\n"})
    refused = _fathom(platform, token, "run", "--git", ".", "--code-credential", "my-git", "--", "true", cwd=work)
    assert refused.returncode != 0
    assert "push" in refused.stderr.lower()
    git(work, "reset", "--quiet", "--hard", "HEAD~1")
    (work / "train/rate.txt").write_text("0.2\n")
    (work / "train/new.txt").write_text("also\n")
    words = ["--git", ".", "--subfolder", "train", "--code-credential", "my-git", "--", "python train.py; cat new.txt"]
    done = _fathom(platform, token, "run", *words, cwd=work)
    assert (done.returncode, done.stdout.splitlines()) == (0, ["learned 0.2", "also"]), done.stderr
    shown = _fathom(platform, token, "list", "-o", "json").stdout
    assert SECRET not in shown + done.stderr


def _fathom(platform: Platform, token: str, *words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "FATHOM_URL": platform.url, "FATHOM_TOKEN": token}
    command = [sys.executable, "-m", "fathom", *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False, cwd=cwd)
