"""Code that is fetched, at the doors: the form, the page, the API, the admin, the command line on a working tree."""

from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from apps.experiments.models import Experiment
from apps.sources.models import Fetch
from fathom.errors import FathomError
from fathom.worktree import capture
from tests.factories import Stage
from tests.people import PASSWORD, Cast, share
from tests.sources.conftest import TOKEN, fetch_of, files_in, https_credential, work
from tests.sources.servers import Web, commit, git, repository

NEW = "/experiments/new/"


@pytest.fixture(scope="module")
def digits(root: Path) -> Path:
    return repository(root, "doors", {"train.py": "print(1)\n", "sub/a.txt": "a", ".gitignore": "*.log\n"})


def browser(name: str) -> Client:
    client = Client()
    assert client.login(username=name, password=PASSWORD)
    return client


def test_the_form_asks_for_a_repository(cast: Cast, stage: Stage, web: Web, digits: Path) -> None:
    https_credential(cast.alice, web)
    https_credential(cast.charlie, web, name="hidden-git")
    page = browser("alice").get(NEW).content.decode()
    assert ("my-git" in page, "hidden-git" in page) == (True, False)
    url = web.url("git/doors.git")
    form = {
        "command": "true",
        "cluster": "fake",
        "git_url": url,
        "git_ref": "main",
        "code_credential": "my-git",
        "git_subfolder": "sub",
    }
    answer = browser("alice").post(NEW, form)
    assert answer.status_code == 302, answer.content.decode()[-3000:]
    made = Experiment.objects.get()
    assert made.spec["code"] == {"git": {"url": url, "ref": "main", "subfolder": "sub", "credential": "my-git"}}
    work()
    shown = browser("alice").get(f"/experiments/{made.pk}/").content.decode()
    assert fetch_of(made).commit[:12] in shown
    assert TOKEN not in shown
    copy = f"/experiments/{made.pk}/clone/"
    assert url in browser("alice").get(copy).content.decode()
    commit(digits, {"sub/a.txt": "b"}, push=True)
    assert browser("alice").post(copy, form).status_code == 302  # the same: also the same commit
    assert {one.source_id for one in Experiment.objects.all()} == {made.source_id}
    assert browser("alice").post(copy, {**form, "git_ref": "other"}).status_code == 302
    assert Fetch.objects.count() == 2


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ({"git_url": "file:///etc"}, "Not an address that code is fetched from"),
        ({"git_url": "git@example.org:x"}, "needs a credential of the kind"),
        ({"git_url": "https://example.org/x", "archive_url": "https://example.org/x.zip"}, "Exactly one of"),
        ({"archive_url": "http://example.org/x.zip"}, "Not an address that code is fetched from"),
    ],
)
def test_the_form_says_what_is_wrong(cast: Cast, stage: Stage, typed: dict[str, str], said: str) -> None:
    answer = browser("alice").post(NEW, {"command": "true", "cluster": "fake", **typed})
    assert (answer.status_code, said in answer.content.decode()) == (400, True)
    assert not Experiment.objects.exists()


def test_the_api_tells_commit_and_state_to_who_may_see_it(cast: Cast, stage: Stage, web: Web, digits: Path) -> None:
    spec = {"command": "true", "cluster": {"name": "fake"}, "code": {"git": {"url": web.url("git/doors.git")}}}
    answer = browser("alice").post("/api/v2/experiments/", spec, content_type="application/json")
    assert (answer.status_code, answer.json()["source"]["state"]) == (201, "queued")
    experiment = Experiment.objects.get()
    path = f"/api/v2/experiments/{experiment.pk}/"
    work()
    told = browser("alice").get(path).json()["source"]
    assert (told["state"], told["commit"], told["branch"]) == ("ready", git(digits, "rev-parse", "main"), "main")
    assert browser("charlie").get(path).status_code == 404
    share(experiment, cast.dana)
    assert browser("dana").get(path).json()["source"]["commit"] == told["commit"]
    refused = browser("alice").post(
        "/api/v2/experiments/", {**spec, "code": {"git": {"url": "ext::id"}}}, content_type="application/json"
    )
    assert (refused.status_code, list(refused.json()["errors"])) == (400, ["code.git.url"])


def test_the_platform_runs_what_a_working_tree_holds(
    cast: Cast, stage: Stage, web: Web, digits: Path, tmp_path: Path
) -> None:
    from apps.experiments import services as experiments

    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", str(digits.parents[1] / "served/doors.git"), str(clone))
    clean = capture(clone)
    assert (clean.is_dirty, clean.branch, clean.commit) == (False, "main", git(clone, "rev-parse", "HEAD"))
    (clone / "train.py").write_text("print('changed')\n")
    (clone / "fresh [1].bin").write_bytes(bytes(range(256)))
    (clone / "noise.log").write_text("ignored by git")
    (clone / ".fathomignore").write_text("data/\n")
    (clone / "data").mkdir()
    (clone / "data/large").write_text("ignored by us")
    before = git(clone, "status", "--porcelain")
    found = capture(clone / "sub")
    assert git(clone, "status", "--porcelain") == before
    assert (found.subfolder, found.is_dirty) == ("sub", True)
    upload, _ = experiments.upload_code([found.patch], by=cast.alice, sha256="", content_type="text/x-diff")
    code: dict[str, Any] = {
        "url": web.url("git/doors.git"),
        "ref": found.commit,
        "branch": "main",
        "patch": str(upload),
    }
    experiment = stage.submit(cast.alice, code={"git": code})
    work()
    files = files_in(fetch_of(experiment))
    assert files["train.py"] == "print('changed')\n"
    assert set(files) == {"train.py", "sub/a.txt", ".gitignore", ".fathomignore", "fresh [1].bin"}
    assert (fetch_of(experiment).branch, fetch_of(experiment).is_dirty) == ("main", True)
    commit(clone, {"train.py": "print(9)\n"})
    with pytest.raises(FathomError, match="is not on origin"):
        capture(clone)
    with pytest.raises(FathomError, match="lies in no git working tree"):
        capture(tmp_path)


def test_an_address_with_a_password_is_sent_without(tmp_path: Path, root: Path, digits: Path) -> None:
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", str(root / "served/doors.git"), str(clone))
    git(clone, "remote", "set-url", "origin", "https://ada:secret-9b1c@example.org/doors.git")
    assert capture(clone).url == "https://example.org/doors.git"
