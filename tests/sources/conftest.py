"""Fixtures of this folder: real servers, credentials for them, and short ways through a worker's loops."""

import gzip
import io
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from apps.accounts.models import User
from apps.core import blobs
from apps.credentials import services as credentials
from apps.credentials.models import Credential
from apps.experiments.models import Experiment
from apps.sources import services
from apps.sources.models import Fetch
from tests.factories import cast, committed, stage
from tests.sources import servers
from tests.sources.servers import Ssh, Web

__all__ = ["cast", "committed", "stage"]

TOKEN = "tok-8f41c2-canary-e5"


@pytest.fixture(autouse=True)
def reachable(settings: Any, tmp_path: Path) -> None:
    """Let loopback be asked, where these servers are."""
    settings.FETCH_NETWORKS = ["127.0.0.0/8"]
    settings.FETCH_ROOT = tmp_path / "fetching"
    settings.FETCH_SECONDS = 60


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sources")


@pytest.fixture(scope="module")
def _web(root: Path) -> Iterator[Web]:
    with servers.web_server(root) as made:
        yield made


@pytest.fixture
def web(_web: Web, settings: Any) -> Web:
    settings.FETCH_CA_FILE = str(_web.ca)
    _web.who = ""
    _web.before = lambda _path: None
    for kept in (_web.asked, _web.redirects, _web.answers):
        kept.clear()
    return _web


@pytest.fixture(scope="module")
def ssh(root: Path) -> Iterator[Ssh]:
    if not servers.SSHD.exists():
        pytest.skip("sshd is not installed")
    with servers.ssh_server(root) as made:
        yield made


def https_credential(by: User, web: Web, token: str = TOKEN, name: str = "my-git", host: str = "") -> Credential:
    values = {"host": host or web.host, "username": "ada", "token": token}
    return credentials.create_credential(name, "git_https", values, by=by)


def ssh_credential(by: User, ssh: Ssh, **changes: str) -> Credential:
    values = {"host": ssh.host, "known_hosts": ssh.known_hosts, "private_key": ssh.key, **changes}
    return credentials.create_credential("my-ssh", "git_ssh", values, by=by)


def fetch_of(experiment: Experiment) -> Fetch:
    return Fetch.objects.get(experiments=experiment)


def work() -> None:
    """What a worker's loops do: fetch what is due, also what it would try again later."""
    Fetch.objects.filter(state="queued").update(next_try_at="2001-01-01T00:00:00Z")
    services.fetch_due()


def files_in(fetch: Fetch) -> dict[str, str]:
    """Return what was fetched, by the names of the files; of a link, where it leads."""
    data = gzip.decompress(blobs.local_path(fetch.sha256).read_bytes())
    found = {}
    with tarfile.open(fileobj=io.BytesIO(data)) as tree:
        for member in tree:
            if member.isreg():
                content = tree.extractfile(member)
                assert content is not None
                found[member.name] = content.read().decode("utf-8", "replace")
            elif member.issym():
                found[member.name] = f"-> {member.linkname}"
    return found
