"""Code from real git servers: what is fetched, what is refused and in which words, and what is recorded."""

from pathlib import Path
from typing import Any

import pytest

from apps.core import blobs
from apps.experiments import services as experiments
from apps.experiments.models import CodeUpload
from apps.sources.models import Fetch
from apps.tracking.models import Tag
from tests.factories import Stage, assert_books_balance, fresh
from tests.people import Cast
from tests.sources import servers
from tests.sources.conftest import TOKEN, fetch_of, files_in, https_credential, ssh_credential, work
from tests.sources.servers import Ssh, Web, commit, git, repository


@pytest.fixture(scope="module")
def digits(root: Path) -> Path:
    """A repository with two branches, a tag and a folder."""
    made = repository(root, "digits", {"train.py": "print(1)\n", "lib/a.txt": "a"})
    git(made, "tag", "-a", "v1", "-m", "one")
    git(made, "push", "--quiet", "origin", "v1")
    git(made, "checkout", "--quiet", "-b", "other")
    commit(made, {"train.py": "print(2)\n"}, push=True)
    git(made, "checkout", "--quiet", "main")
    commit(made, {"train.py": "print(3)\n"}, push=True)
    return made


def test_it_waits_without_holding_anything_and_runs_with_what_was_fetched(
    cast: Cast, stage: Stage, web: Web, digits: Path
) -> None:
    given = []
    stage.world.plan = lambda _name, spec: given.append(spec) or __import__("apps.compute.backends.fake.world", fromlist=["FakePlan"]).FakePlan()  # type: ignore[func-returns-value]
    experiment = stage.submit(cast.alice, code={"git": {"url": web.url("git/digits.git")}})
    stage.turn(times=3)
    assert (fresh(experiment).state, fresh(experiment).reason) == ("queued", "CodeFetching")
    assert fresh(experiment).message == f"waiting: its code is being fetched from {web.host}"
    assert_books_balance(live=0)
    work()
    fetch = fetch_of(experiment)
    assert fetch.state == "ready", fetch.message
    assert (fresh(experiment).reason, fresh(experiment).message) == ("", "")
    stage.finish()
    assert fresh(experiment).state == "succeeded"
    assert given[0].code.sha256 == fetch.sha256
    assert files_in(fetch) == {"train.py": "print(3)\n", "lib/a.txt": "a"}
    assert (fetch.commit, fetch.branch) == (git(digits, "rev-parse", "main"), "main")
    tags = dict(Tag.objects.filter(run=experiment.run).values_list("key", "value"))
    assert tags == {
        "mlflow.source.git.commit": fetch.commit,
        "mlflow.source.git.repoURL": web.url("git/digits.git"),
        "mlflow.source.git.branch": "main",
    }
