"""Two tenants on one platform: the one who looks, and the one who must not be perceived."""

import hashlib
from dataclasses import dataclass
from typing import Any

from django.db import transaction

from apps.access.principal import SYSTEM
from apps.accounts import services as accounts
from apps.accounts.models import LoginFailure, User
from apps.budgets import services as budgets
from apps.budgets.models import Alert, Price
from apps.core import blobs
from apps.experiments.models import CodeUpload
from apps.quotas import services as quotas
from apps.quotas.models import QuotaNode
from apps.teams import services as teams
from apps.tracking import services as tracking
from apps.tracking.models import Artifact, MetricPoint, MetricSeries, Param, Tag
from tests.factories import Stage
from tests.people import PASSWORD

SECRET = "plover-5c9e"  # in every text of the other tenant


@dataclass
class Tenant:
    """An organization with one team of three, and what they made."""

    name: str
    people: dict[str, User]
    experiments: list[Any]


def make_tenant(name: str, stage: Stage, *, word: str = "") -> Tenant:
    """Make a tenant whose names begin with `name`, all its texts holding `word`."""
    organization = teams.create_organization(slug=f"{name}-org", name=f"{name} org {word}", by=SYSTEM)
    team = teams.create_team(organization, slug=f"{name}-team", name=f"{name} team {word}", by=SYSTEM)
    people = {}
    for role in ("viewer", "member", "maintainer"):
        user = accounts.create_user(f"{name}-{role}-{word}".rstrip("-"), by=SYSTEM, password=PASSWORD)
        teams.set_member(team, user, role=role, by=SYSTEM)
        accounts.issue_token(user, by=SYSTEM, name=f"token {word}")
        people[role] = user
    member = people["member"]
    quotas.set_limit(quotas.platform_node(), "gpu", 64_000, by=SYSTEM)
    common = {"team": team.slug, "name": f"{name} work {word}", "tags": {"topic": word or "x"}}
    tracking.create_project(f"{name} project {word}".strip(), by=member, team=team)
    experiments = [
        stage.submit(member, **common, project=f"{name} project {word}".strip()),
        stage.submit(member, **common, visibility="organization"),
        stage.submit(people["maintainer"], **common, visibility="private"),
    ]
    stage.turn()
    for experiment in experiments:
        _record(experiment.run, word)
    experiments.append(stage.submit(member, **common, priority=5, resources={"cpu": 16}))
    experiments.append(stage.submit(member, **common, priority=5, resources={"cpu": 16}))
    stage.turn()
    _charge(team, experiments[0], word)
    sha = hashlib.sha256(word.encode()).hexdigest()
    CodeUpload.objects.create(owner=member, sha256=sha, format="tar.gz", size_bytes=10)
    LoginFailure.objects.create(username=member.username, ip="192.0.2.77")
    return Tenant(name, people, experiments)


def _charge(team: Any, experiment: Any, word: str) -> None:
    """Prices are there already for everybody; the tenant has a budget, an experiment that was charged, and an alert."""
    workload = experiment.workload
    if not Price.objects.exists():
        budgets.set_price(workload.cluster_id, "cpu", 1_000_000, by=SYSTEM)
    for key, policy in ((f"team:{team.pk}", "reserve"), (f"org:{team.organization_id}", "observe")):
        node = QuotaNode.objects.get(key=key)
        made = budgets.create_budget(
            node, cadence="month", policy_name=policy, amount_micros=9_000_000, by=SYSTEM, reason=word
        )
    handle = f"fth-{workload.pk.hex}-1"
    ask = budgets.Ask(
        handle, tuple(workload.quota_node.path), workload.cluster_id, {"cpu": 1000}, 3600, workload.subject
    )
    with transaction.atomic():
        budgets.hold([ask])
    budgets.settle(handle, 3_000_000)
    Alert.objects.create(period=made.periods.get(), level="50", spent_micros=1, amount_micros=2, message=word)


def _record(run: Any, word: str) -> None:
    Param.objects.create(run=run, project=run.project, key=f"param-{word}", value=word or "x")
    Tag.objects.create(run=run, project=run.project, key=f"tag-{word}", value=word or "x")
    series = MetricSeries.objects.create(
        run=run, project=run.project, key=f"loss-{word}", count=1, last_value=1.0, last_step=0
    )
    MetricPoint.objects.create(series=series, ordinal=0, step=0, time=run.created_at, value=1.0)
    blob = blobs.write([(word or "nothing").encode()], limit=1 << 20)
    Artifact.objects.create(
        run=run,
        path=f"out/{word or 'x'}.txt",
        sha256=blob.sha256,
        size_bytes=blob.size_bytes,
        content_type="text/plain",
    )
