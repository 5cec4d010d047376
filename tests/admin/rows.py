"""Rows of every model that the admin shows, each with owner, team and cluster of its own, so that a list cannot hide
a query per row behind one that they share."""

from datetime import timedelta
from typing import Any

from django.utils import timezone

from apps.access.principal import SYSTEM
from apps.accounts import services as accounts
from apps.accounts.models import ApiToken, LoginFailure, Registration, User
from apps.budgets import services as budgets
from apps.budgets.models import Alert, Delivery, Period
from apps.compute import priority_classes
from apps.compute import services as compute
from apps.compute.lifecycle import transition
from apps.compute.models import Attempt, Cluster, Loop, PriorityClass, Workload
from apps.credentials import services as credentials
from apps.credentials.models import CredentialUse
from apps.directory import services as directory
from apps.directory.models import DirectoryRule
from apps.environments import services as environments
from apps.experiments import services as experiments
from apps.experiments.models import CodeUpload, Experiment
from apps.models import services as models
from apps.quotas import services as quotas
from apps.quotas.models import AllocationRequest, QuotaDefault, QuotaNode, Resource, ShareUse
from apps.sharing.models import AccessRequest
from apps.sources.models import Fetch
from apps.storage.models import Blob, Collection
from apps.teams import services as teams
from apps.teams.models import Team
from apps.tracking.models import Artifact, MetricSeries, Param, Retention, Run, Tag, Upload
from tests import people


def _files(run: Run, team: Team, no: int) -> None:
    """What is stored: bytes, an upload on its way, a rule, a collection."""
    Blob.objects.create(sha256=f"{no:064x}", size_bytes=10)
    Collection.objects.create(asked_by="system", swept=no)
    node = quotas.leaf_of(run.owner, team)
    ends = timezone.now() + timedelta(hours=1)
    facts = {"sha256": f"{no:064x}", "size_bytes": 10, "part_bytes": 10, "part_count": 1, "expires_at": ends}
    Upload.objects.create(run=run, created_by=run.owner, path=f"part-{no}", quota_node=node, **facts)
    Retention.objects.create(team=team, days_after_end=no)


def make_row(no: int) -> Experiment:
    """Add one row of everything."""
    organization = teams.create_organization(slug=f"org-{no}", name=f"Org {no}", by=SYSTEM)
    team = teams.create_team(organization, slug=f"team-{no}", name=f"Team {no}", by=SYSTEM)
    user = accounts.create_user(f"user-{no}", by=SYSTEM)
    teams.set_member(team, user, role="member", by=SYSTEM)
    accounts.issue_token(user, by=user, name=f"token-{no}")
    teams.create_service_account(team, name="ci", by=SYSTEM)
    teams.invite([(team, "member")], by=SYSTEM, email=f"guest-{no}@example.org")
    decided = {"decided_at": timezone.now(), "decided_by": user, "user": user}
    Registration.objects.create(username=f"guest-{no}", **decided)
    cluster = compute.save_cluster(Cluster(name=f"cluster-{no}", kind="fake", settings={}), by=SYSTEM)
    experiment = submit(user, team=team.slug, cluster=cluster.name, name=f"job-{no}")
    start(experiment.workload)
    run = experiment.run
    Blob.objects.get_or_create(sha256="ab" * 32, defaults={"size_bytes": 2048})
    Artifact.objects.create(run=run, path=f"model-{no}.bin", sha256="ab" * 32, size_bytes=2048)
    _files(run, team, no)
    Param.objects.create(run=run, key="lr", value="0.1")
    Tag.objects.create(run=run, key="purpose", value="test")
    MetricSeries.objects.create(run=run, key="loss", count=3)
    people.browser_of(user)
    CodeUpload.objects.create(owner=user, sha256=f"{no:064x}", format="zip", size_bytes=10)
    Fetch.objects.create(owner=user, subject=f"run:{run.pk}", kind="git", url="git@example.org:x.git", state="failed")
    value = {"value": f"secret-{no}"}
    stored = credentials.create_credential(f"secret-{no}", "generic", value, by=user, team=team)
    facts = {"alias": "A", "attempt": run.pk, "attempt_no": 1, "user": user}
    CredentialUse.objects.create(credential=stored, version=1, subject=f"run:{run.pk}", **facts)
    AccessRequest.objects.create(kind="run", object_id=run.pk, by=user, decided_by=user)
    LoginFailure.objects.create(username=f"user-{no}", ip="192.0.2.1")
    directory.save_rule(DirectoryRule(source="ldap", group=f"group-{no}", team=team, role="member"), by=SYSTEM)
    directory.sync(by=SYSTEM)
    _model(experiment, team, no)
    _environment(user, team, cluster)
    _quotas(team, user, no)
    _charge(experiment.workload, no)
    Loop.objects.create(name=f"loop-{no}", owner="host:1", ran_at=timezone.now())
    return experiment


def _model(experiment: Experiment, team: Team, no: int) -> None:
    """A model with a version, an alias that moved, a rule, and a request that waits."""
    owner = experiment.run.owner
    model = models.create_model(f"model-{no}", by=owner, team=team)
    version = models.register_run(model, experiment.run, by=owner)
    models.set_alias(model, "beta", version, by=owner, reason="first")
    models.protect(model, "alias", "champion", by=owner)
    models.request_move(model, "alias", "champion", version, by=owner, reason="good")


def _environment(owner: User, team: Team, cluster: Cluster) -> None:
    """An environment with a version that stands on the cluster."""
    contents = environments.read_contents(packages="six", variables={"A": "1"})
    made = environments.create_environment("tools", contents, by=owner, team=team)
    version = environments.version_numbered(made, "1")
    assert version is not None
    environments.request_build(version, by=owner, cluster=cluster.name)
    environments.build_due()


def _charge(workload: Workload, no: int) -> None:
    """A price, a budget, what the attempt holds and was charged, and an alert that could not be delivered."""
    cluster, node = workload.cluster_id, workload.quota_node
    budgets.set_price(cluster, "cpu", 1_000_000, by=SYSTEM)
    budget = budgets.create_budget(node, cadence="month", policy_name="observe", amount_micros=100_000, by=SYSTEM)
    key = f"fth-{workload.pk.hex}-1"
    budgets.hold([budgets.Ask(key, tuple(node.path), cluster, workload.amounts, 3600, workload.subject)])
    budgets.settle(key, 360_000)
    period = Period.objects.get(budget=budget)
    facts = {"spent_micros": period.spent_micros, "amount_micros": period.amount_micros, "message": f"spent {no}"}
    alert = Alert.objects.create(period=period, level="80", **facts)
    Delivery.objects.create(alert=alert, channel="email", target=f"guest-{no}@example.org", error="550 no")


def _quotas(team: Team, user: User, no: int) -> None:
    """A resource, a default, a priority class, a request for more, and what was used lately."""
    quotas.save_resource(Resource(name=f"license-{no}", title=f"License {no}"), by=SYSTEM, reason="x")
    quotas.save_default(QuotaDefault(kind="user", resource=f"license-{no}", limit=2), by=SYSTEM, reason="x")
    priority_classes.save_priority_class(PriorityClass(name=f"class-{no}", rank=no), by=SYSTEM, reason="x")
    node = QuotaNode.objects.get(key=f"team:{team.pk}")
    facts = {"resource": "cpu", "amount": 128_000, "before": 64_000, "reason": f"deadline {no}", "asked_by": user}
    AllocationRequest.objects.create(node=node, **facts)
    ShareUse.objects.update_or_create(node=node, defaults={"amount": 360_000.0 * no})


def write_limits(rows: Any, **to: Any) -> None:
    """Write limits as no service would, with the ceiling that the database wants to see beside them."""
    for row in rows:
        for name, value in to.items():
            setattr(row, name, value)
        row.ceiling = None if row.limit is None else max(row.limit + row.borrow, row.used)
        row.save()


def submit(by: User, *, cluster: str, **spec: Any) -> Experiment:
    return experiments.submit_experiment({"command": "true", "cluster": {"name": cluster}, **spec}, by=by)


def start(workload: Workload) -> Attempt:
    """Do what admission does: hold the quota, make the attempt, go to `starting`."""
    handle = f"fth-{workload.pk.hex}-1"
    quotas.reserve(handle, workload.quota_node, [compute.cluster_node(workload.cluster).pk], workload.amounts)
    transition(workload, "starting", actor="reconcile", reason="Admitted", attempt_no=1)
    return Attempt.objects.create(workload=workload, no=1, cluster=workload.cluster, handle=handle)


PATHS = {
    "queued": [],
    "starting": ["starting"],
    "running": ["starting", "running"],
    "stopping": ["starting", "stopping"],
    "succeeded": ["starting", "succeeded"],
    "failed": ["starting", "failed"],
    "lost": ["starting", "running", "lost"],
}


def bring(workload: Workload, state: str) -> None:
    """Take a queued workload to `state` the way reconcile does, which is the only way the database permits."""
    for step in PATHS[state]:
        transition(workload, step, actor="reconcile")


def age(workload: Workload, **ago: timedelta) -> None:
    """Set times of a workload back: `state_changed_at=timedelta(minutes=20)`."""
    Workload.objects.filter(pk=workload.pk).update(**{field: timezone.now() - span for field, span in ago.items()})


def token_of(username: str) -> ApiToken:
    return ApiToken.objects.get(user__username=username)
