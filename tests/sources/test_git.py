"""Code from real git servers: what is fetched, what is refused and in which words, and what is recorded."""

from pathlib import Path
from typing import Any

import pytest

from apps.compute.backends.fake.world import FakePlan
from apps.compute.contract import WorkloadSpec
from apps.core import blobs
from apps.core.errors import Invalid
from apps.experiments import services as experiments
from apps.experiments.models import CodeUpload, Experiment
from apps.lineage import services as lineage
from apps.sources.models import Fetch
from apps.tracking.models import Tag
from tests.factories import Stage, assert_books_balance, fresh
from tests.people import Cast, share
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


def fetched(stage: Stage, cast: Cast, web: Web, name: str = "digits", **facts: Any) -> Fetch:
    """Submit alice's work with code of a repository, and fetch it."""
    experiment = stage.submit(cast.alice, code={"git": {"url": web.url(f"git/{name}.git"), **facts}})
    work()
    return fetch_of(experiment)


def test_it_waits_without_holding_anything_and_runs_with_what_was_fetched(
    cast: Cast, stage: Stage, web: Web, digits: Path
) -> None:
    given: list[WorkloadSpec] = []

    def look(_name: str, spec: WorkloadSpec) -> FakePlan:
        given.append(spec)
        return FakePlan()

    stage.world.plan = look
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
    assert given[0].code is not None
    assert given[0].code.sha256 == fetch.sha256
    assert files_in(fetch) == {"train.py": "print(3)\n", "lib/a.txt": "a"}
    assert (fetch.commit, fetch.branch) == (git(digits, "rev-parse", "main"), "main")
    tags = dict(Tag.objects.filter(run=experiment.run).values_list("key", "value"))
    assert tags == {
        "mlflow.source.git.commit": fetch.commit,
        "mlflow.source.git.repoURL": web.url("git/digits.git"),
        "mlflow.source.git.branch": "main",
    }
    graph = lineage.walk(lineage.find("run", experiment.pk, by=cast.alice), by=cast.alice)
    assert any(web.url("git/digits.git") in node.label for node in graph.nodes.values())


@pytest.mark.parametrize(
    ("ref", "text", "branch"), [("other", 2, "other"), ("v1", 1, ""), ("main", 3, "main"), ("{commit}", 2, "")]
)
def test_a_ref_may_be_a_branch_a_tag_or_a_commit(
    cast: Cast, stage: Stage, web: Web, digits: Path, ref: str, text: int, branch: str
) -> None:
    fetch = fetched(stage, cast, web, ref=ref.format(commit=git(digits, "rev-parse", "other")))
    assert (fetch.state, fetch.message) == ("ready", "")
    assert (files_in(fetch)["train.py"], fetch.branch) == (f"print({text})\n", branch)
    named = {"v1": "v1^{commit}", "{commit}": "other"}.get(ref, ref)
    assert fetch.commit == git(digits, "rev-parse", named)


def test_the_same_commit_is_the_same_archive(cast: Cast, stage: Stage, web: Web, digits: Path) -> None:
    one, two = fetched(stage, cast, web, ref="main"), fetched(stage, cast, web, ref=git(digits, "rev-parse", "main"))
    assert one.sha256 == two.sha256
    assert one.pk != two.pk


def test_a_folder_of_it(cast: Cast, stage: Stage, web: Web, digits: Path) -> None:
    assert files_in(fetched(stage, cast, web, subfolder="lib")) == {"a.txt": "a"}
    fetch = fetched(stage, cast, web, subfolder="nowhere")
    assert (fetch.state, fetch.message) == ("failed", "it has no folder nowhere")


def test_what_is_not_there(cast: Cast, stage: Stage, web: Web, digits: Path) -> None:
    assert "no branch or tag nothing" in fetched(stage, cast, web, ref="nothing").message
    assert fetched(stage, cast, web, ref="a" * 40).message == f"it has no commit {'a' * 40}"
    assert "there is no repository at this address" in fetched(stage, cast, web, name="none").message
    for experiment in Experiment.objects.all():
        assert (fresh(experiment).state, fresh(experiment).reason) == ("failed", "CodeFailed")
        assert fresh(experiment).message.startswith("its code could not be fetched: ")
        assert experiment.run.__class__.objects.get(pk=experiment.pk).status == "failed"
    assert stage.world.starts == {}
    assert_books_balance(live=0)


def test_a_private_repository(cast: Cast, stage: Stage, web: Web, digits: Path) -> None:
    web.who = f"ada:{TOKEN}"
    https_credential(cast.alice, web)
    fetch = fetched(stage, cast, web, credential="my-git")
    assert (fetch.state, fetch.message) == ("ready", "")
    without = fetched(stage, cast, web)
    assert (without.state, "name a credential that may read it" in without.message) == ("failed", True)
    https_credential(cast.alice, web, "tok-wrong-17f3", name="wrong")
    wrong = fetched(stage, cast, web, credential="wrong")
    assert wrong.message == f"{web.host} does not accept the credential, or it may not read this repository"
    assert (TOKEN in wrong.log, "tok-wrong" in wrong.log) == (False, False)


def test_by_ssh(cast: Cast, stage: Stage, ssh: Ssh, digits: Path) -> None:
    ssh_credential(cast.alice, ssh)
    code = {"git": {"url": ssh.url("digits"), "ref": "other", "credential": "my-ssh"}}
    experiment = stage.submit(cast.alice, code=code)
    work()
    assert (fetch_of(experiment).state, fetch_of(experiment).message) == ("ready", ""), fetch_of(experiment).log
    assert files_in(fetch_of(experiment))["train.py"] == "print(2)\n"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"private_key": "{other_key}"}, "does not accept the credential"),
        ({"known_hosts": "[127.0.0.1]:{port} ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHxUqZ1h5pO8fUSsZxRrwNGNjCPVnYTKnHFVrXS4mY1e\n"},
         "the key of 127.0.0.1:{port} is not the one in the credential's known hosts"),
        ({"known_hosts": "example.org ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHxUqZ1h5pO8fUSsZxRrwNGNjCPVnYTKnHFVrXS4mY1e\n"}, "is not the one in the"),
    ],
)  # fmt: skip
def test_by_ssh_with_what_is_wrong(
    cast: Cast, stage: Stage, ssh: Ssh, digits: Path, changes: dict[str, str], said: str
) -> None:
    words = {"other_key": ssh.other_key, "port": str(ssh.port)}
    ssh_credential(cast.alice, ssh, **{name: value.format_map(words) for name, value in changes.items()})
    experiment = stage.submit(cast.alice, code={"git": {"url": ssh.url("digits"), "credential": "my-ssh"}})
    work()
    fetch = fetch_of(experiment)
    assert (fetch.state, said.format_map(words) in fetch.message) == ("failed", True), fetch.message


def test_a_certificate_that_nobody_vouches_for(cast: Cast, stage: Stage, web: Web, digits: Path, settings: Any) -> None:
    settings.FETCH_CA_FILE = ""
    fetch = fetched(stage, cast, web)
    assert (fetch.state, fetch.message) == ("failed", f"the certificate of {web.host} is not accepted")


def test_what_was_changed_and_not_committed(cast: Cast, stage: Stage, web: Web, digits: Path) -> None:
    (digits / "train.py").write_text("print(4)\n")
    (digits / "data.bin").write_bytes(bytes(range(256)))
    try:
        git(digits, "add", "-A")
        patch = git(digits, "diff", "--cached", "--binary", "HEAD").encode() + b"\n"
    finally:
        git(digits, "reset", "--quiet", "--hard")
    upload, _ = experiments.upload_code([patch], by=cast.alice, sha256="", content_type="text/x-diff")
    fetch = fetched(stage, cast, web, patch=str(upload))
    assert (fetch.state, fetch.message, fetch.is_dirty) == ("ready", "", True)
    assert files_in(fetch)["train.py"] == "print(4)\n"
    assert "data.bin" in files_in(fetch)
    other = fetched(stage, cast, web, ref="other", patch=str(upload))
    assert (other.state, "the patch does not fit commit" in other.message) == ("failed", True)
    with pytest.raises(Invalid, match=r"^.*$") as caught:
        stage.submit(cast.charlie, code={"git": {"url": web.url("git/digits.git"), "patch": str(upload)}})
    assert list(caught.value.errors) == ["code.git.patch"]
    with pytest.raises(Invalid) as caught:
        stage.submit(cast.alice, code={"upload": str(upload)})
    assert list(caught.value.errors) == ["code.upload"]


def test_submodules_and_theirs(cast: Cast, stage: Stage, web: Web, root: Path) -> None:
    web.who = f"ada:{TOKEN}"
    https_credential(cast.alice, web)
    repository(root, "inner", {"deep.txt": "deep"})
    middle = repository(root, "middle", {"mid.txt": "mid"})
    _submodule(middle, "inner", root, url="../inner.git")
    outer = repository(root, "outer", {"top.txt": "top"})
    _submodule(outer, "lib/middle", root, url=web.url("git/middle.git"), name="middle")
    fetch = fetched(stage, cast, web, "outer", submodules=True, credential="my-git")
    assert (fetch.state, fetch.message) == ("ready", "")
    found = files_in(fetch)
    assert {name: found[name] for name in found if not name.endswith(".gitmodules")} == {
        "top.txt": "top", "lib/middle/mid.txt": "mid", "lib/middle/inner/deep.txt": "deep",
    }  # fmt: skip
    assert "lib/middle/mid.txt" not in files_in(fetched(stage, cast, web, "outer", credential="my-git"))
    inside = files_in(fetched(stage, cast, web, "outer", submodules=True, credential="my-git", subfolder="lib"))
    assert set(inside) == {"middle/.gitmodules", "middle/mid.txt", "middle/inner/deep.txt"}


def _submodule(work_tree: Path, path: str, root: Path, *, url: str, name: str = "") -> None:
    """Add a submodule as its .gitmodules would say, whatever git itself thinks of the address."""
    bare = root / "served" / f"{name or path}.git"
    at = git(bare, "rev-parse", "HEAD") if bare.exists() else "1" * 40
    git(work_tree, "update-index", "--add", "--cacheinfo", f"160000,{at},{path}")
    (work_tree / ".gitmodules").write_text(f'[submodule "{path}"]\n\tpath = {path}\n\turl = {url}\n')
    git(work_tree, "add", ".gitmodules")
    git(work_tree, "commit", "--quiet", "-m", "submodule")
    git(work_tree, "push", "--quiet", "origin", "HEAD")


@pytest.mark.parametrize(
    "url", ["file:///etc", "ext::sh -c id", "/etc", "-uwhoami", "http://127.0.0.1/x.git", "git@127.0.0.1:x.git"]
)
def test_a_submodule_at_a_hostile_address(cast: Cast, stage: Stage, web: Web, root: Path, url: str) -> None:
    name = f"hostile-{abs(hash(url))}"
    _submodule(repository(root, name, {"a": "a"}), "sub", root, url=url)
    fetch = fetched(stage, cast, web, name, submodules=True)
    assert (fetch.state, fetch.message.startswith("its submodule sub: ")) == ("failed", True), fetch.message
    assert fetched(stage, cast, web, name).state == "ready"  # nobody asked for it


def test_a_credential_goes_to_its_own_host_only(cast: Cast, stage: Stage, web: Web, digits: Path, root: Path) -> None:
    """The redirect and the submodule lead to the same server under another name, which asks who comes."""
    web.who = f"ada:{TOKEN}"
    https_credential(cast.alice, web)
    web.redirects["/git/moved.git"] = web.url("git/digits.git", host="localhost")
    moved = fetched(stage, cast, web, "moved", credential="my-git")
    assert (moved.state, [who for path, who in web.asked if who]) == ("failed", [])
    outer = repository(root, "elsewhere", {"a": "a"})
    _submodule(outer, "sub", root, url=web.url("git/digits.git", host="localhost"), name="digits")
    fetch = fetched(stage, cast, web, "elsewhere", submodules=True, credential="my-git")
    assert (fetch.state, fetch.message.startswith("its submodule sub: localhost")) == ("failed", True)
    assert not [path for path, who in web.asked if who and "digits" in path]


def test_a_retry_and_a_copy_have_the_same_commit(cast: Cast, stage: Stage, web: Web, root: Path) -> None:
    made = repository(root, "moving", {"a.txt": "1"})
    stage.plan(exit_code=1)
    experiment = stage.submit(cast.alice, code={"git": {"url": web.url("git/moving.git"), "ref": "main"}})
    work()
    stage.finish()
    first = fetch_of(experiment).commit
    commit(made, {"a.txt": "2"}, push=True)
    experiments.retry_experiment(experiment, by=cast.alice)
    stage.finish()
    assert fresh(experiment).attempt_no == 2
    share(experiment, cast.dana)
    copy = experiments.clone_experiment(experiment, by=cast.again("dana"))
    assert copy.source_id == experiment.source_id
    assert dict(Tag.objects.filter(run=copy.run).values_list("key", "value"))["mlflow.source.git.commit"] == first
    stage.finish()
    assert Fetch.objects.count() == 1
    again = fetched(stage, cast, web, "moving", ref="main")
    assert again.commit != first


def test_a_copy_made_while_it_is_fetched_is_told_too(cast: Cast, stage: Stage, web: Web, digits: Path) -> None:
    experiment = stage.submit(cast.alice, code={"git": {"url": web.url("git/digits.git")}})
    copy = experiments.clone_experiment(experiment, by=cast.alice)
    work()
    assert Tag.objects.filter(run=copy.run, key="mlflow.source.git.commit").exists()
    assert fresh(copy).next_reconcile_at is not None


def test_a_retry_of_what_failed_fetches_anew_as_whose_it_is(cast: Cast, stage: Stage, web: Web, digits: Path) -> None:
    web.who = f"ada:{TOKEN}"
    bad = https_credential(cast.alice, web, "tok-wrong-17f3")
    experiment = stage.submit(cast.alice, code={"git": {"url": web.url("git/digits.git"), "credential": "my-git"}})
    work()
    assert fresh(experiment).state == "failed"
    from apps.credentials import services as credentials

    credentials.replace_credential(bad, {"token": TOKEN}, by=cast.alice)
    experiments.retry_experiment(experiment, by=cast.alice)
    assert fresh(experiment).reason == "CodeFetching"
    work()
    stage.finish()
    assert fresh(experiment).state == "succeeded"
    share(experiment, cast.dana)
    web.answers["/git/"] = 404
    failed = stage.submit(cast.alice, code={"git": {"url": web.url("git/digits.git"), "credential": "my-git"}})
    work()
    share(failed, cast.dana)
    with pytest.raises(Invalid) as caught:  # it would be fetched as dana, who has no such credential
        experiments.clone_experiment(failed, by=cast.again("dana"))
    assert list(caught.value.errors) == ["code.git.credential"]


def test_a_credential_taken_away_meanwhile(cast: Cast, stage: Stage, web: Web, digits: Path) -> None:
    from apps.credentials import services as credentials

    web.who = f"ada:{TOKEN}"
    mine = https_credential(cast.alice, web)
    experiment = stage.submit(cast.alice, code={"git": {"url": web.url("git/digits.git"), "credential": "my-git"}})
    credentials.delete_credential(mine, by=cast.alice)
    work()
    assert fresh(experiment).message == "its code could not be fetched: The credential my-git was deleted."
    assert web.asked == []


def test_its_own_tags_go_first(cast: Cast, stage: Stage, web: Web, digits: Path) -> None:
    tags = {"mlflow.source.git.branch": "mine"}
    experiment = stage.submit(cast.alice, code={"git": {"url": web.url("git/digits.git")}}, tags=tags)
    work()
    found = dict(Tag.objects.filter(run=experiment.run).values_list("key", "value"))
    assert (found["mlflow.source.git.branch"], len(found)) == ("mine", 3)


def test_what_is_fetched_is_no_upload_of_anybodys(cast: Cast, stage: Stage, web: Web, digits: Path) -> None:
    fetch = fetched(stage, cast, web)
    with pytest.raises(Invalid):
        stage.submit(cast.charlie, code={"upload": f"sha256:{fetch.sha256}"})
    assert not CodeUpload.objects.exists()
    assert blobs.local_path(fetch.sha256).exists()
