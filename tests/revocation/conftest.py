"""A whole platform of real processes, and an operator who changes things in a process of his own."""

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.platform import REPOSITORY, Platform

_LOOP = """
import json, sys, traceback
import django
django.setup()
known = {}
for line in sys.stdin:
    known["answer"] = None
    try:
        exec(json.loads(line), known)
        print(json.dumps({"answer": known["answer"]}), flush=True)
    except Exception:
        print(json.dumps({"error": traceback.format_exc()}), flush=True)
"""


class Operator:
    """Runs Python with the platform's settings, beside its web process; `answer` is what comes back."""

    def __init__(self, platform: Platform) -> None:
        environment = {**platform.environment, "DJANGO_SETTINGS_MODULE": "config.settings.local"}
        self._process = subprocess.Popen(
            [sys.executable, "-c", _LOOP],
            cwd=REPOSITORY,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def do(self, code: str, **names: Any) -> Any:
        """Run `code` with `names` defined; return when it is committed."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        lines = "\n".join(f"{name} = {value!r}" for name, value in names.items())
        self._process.stdin.write(json.dumps(f"{lines}\n{code}") + "\n")
        self._process.stdin.flush()
        said = json.loads(self._process.stdout.readline())
        assert "error" not in said, said["error"]
        return said["answer"]

    def stop(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(10)
        assert self._process.stdout is not None
        self._process.stdout.close()


_PREPARE = """
from datetime import timedelta
from uuid import UUID
from django.utils import timezone
from apps.access import grants
from apps.access.decision import Role
from apps.access.principal import SYSTEM
from apps.accounts import services as accounts
from apps.accounts.models import ApiToken, User, UserSession
from apps.compute import logs, services as compute
from apps.compute.models import Attempt, Cluster
from apps.core import blobs
from apps.experiments import services as experiments
from apps.experiments.models import Experiment
from apps.teams import services as teams
from apps.tracking.models import Artifact

parked = compute.save_cluster(Cluster(name="parked", kind="fake"), by=SYSTEM)
compute.drain_cluster(parked, by=SYSTEM, reason="test")
owner = accounts.create_user("owner", by=SYSTEM)
organization = teams.create_organization(slug="acme", name="Acme", by=SYSTEM)
team = teams.create_team(organization, slug="vision", name="Vision", by=SYSTEM)
teams.set_member(team, owner, role="maintainer", by=SYSTEM)
big = blobs.write((bytes([i % 251]) * (1 << 20) for i in range(BIG)), limit=1 << 30)

def make(visibility):
    spec = {"command": "true", "cluster": {"name": "parked"}, "team": "vision", "visibility": visibility}
    made = experiments.submit_experiment(spec, by=owner)
    attempt = Attempt.objects.create(workload=made.workload, no=1, cluster=parked, handle=f"fth-{made.pk.hex}-1")
    for number in range(BIG):
        logs.append(attempt.pk, number << 20, (b"%07d\\n" % number) * (1 << 17))
    for path, blob in (("small.txt", blobs.write([b"small"], limit=10)), ("big.bin", big)):
        Artifact.objects.create(run=made.run, path=path, sha256=blob.sha256, size_bytes=blob.size_bytes)
    return made

objects = {name: make(name) for name in ("private", "team")}
answer = {name: str(made.pk) for name, made in objects.items()}
"""
BIG_MIB = 60


@pytest.fixture(scope="package")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    made = Platform(tmp_path_factory.mktemp("revocation") / "home")
    made.start()
    yield made
    made.stop()


@pytest.fixture(scope="package")
def operator(platform: Platform) -> Iterator[Operator]:
    made = Operator(platform)
    yield made
    made.stop()


@pytest.fixture(scope="package")
def experiments(operator: Operator) -> dict[str, str]:
    """The ids of owner's experiments, by visibility; each has a long log and a large file."""
    found: dict[str, str] = operator.do(_PREPARE, BIG=BIG_MIB)
    return found
