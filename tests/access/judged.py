"""Everything that is judged, in every shape: what tests/access compares the two forms of the judge on."""

from collections.abc import Iterator
from datetime import timedelta
from itertools import product
from typing import Any

from django.contrib.auth.models import AnonymousUser
from django.db.models import Model
from django.utils import timezone

from apps.access import grants, policy
from apps.access.choices import Visibility
from apps.access.decision import Role
from apps.access.models import SavedFilter
from apps.access.principal import SYSTEM
from apps.accounts import services as accounts
from apps.accounts.models import ApiToken, Registration, User
from apps.budgets import services as money
from apps.budgets.models import Alert, Delivery
from apps.compute.models import PriorityClass, Workload
from apps.compute.reconcile.turn import run_turn
from apps.core.ids import new_id
from apps.credentials.models import Credential, CredentialUse
from apps.directory import services as directory
from apps.directory.models import DirectoryRule
from apps.environments import services as environments
from apps.experiments.models import CodeUpload
from apps.experiments.services import quota_node
from apps.models import services as models
from apps.quotas import services as quotas
from apps.quotas.models import QuotaDefault, Resource, ShareUse
from apps.sharing.models import AccessRequest
from apps.sources.models import Fetch
from apps.storage.models import Blob, Collection
from apps.teams import services as teams
from apps.tracking.models import (
    Artifact,
    LoggedModel,
    Project,
    ProjectGroupGrant,
    ProjectUserGrant,
    Retention,
    Run,
    RunGroupGrant,
    RunUserGrant,
    SavedView,
    Upload,
)
from tests.people import NAMES, Cast, browser_of, submit

_TOKENS: dict[str, dict[str, Any]] = {
    "all": {"scopes": ["all"]},
    "read": {"scopes": ["read"]},
    "one": {"scopes": ["run:view", "project:edit", "team:submit", "credential:use"]},
    "none": {"scopes": []},
}


def make_objects(cast: Cast) -> None:
    """Make projects and runs of every visibility, team and grant, and one of everything else."""
    abroad = teams.create_organization(slug="far", name="Far", by=SYSTEM)
    far = teams.create_team(abroad, slug="far", name="Far", by=SYSTEM)
    shapes = product(Visibility.values, [None, cast.team, cast.other_team, far], list(Role))
    for number, (visibility, team, role) in enumerate(shapes):
        owner = cast.alice if number % 3 else cast.mia
        shared: dict[str, Any] = {"owner": owner, "team": team, "visibility": visibility}
        if not number % 5:
            project = Project.objects.create(name=f"p{number}", **shared)
        run = Run.objects.create(project=project, name=f"r{number}", **shared)
        secret = Credential.objects.create(name=f"c{number}", kind="generic", **shared)
        for row in (project, run, secret) if role else ():
            grants.grant(cast.dana if number % 2 else cast.team.group, row, role)
        if not number % 4:
            use = {"alias": "A", "subject": f"run:{run.pk}", "attempt": run.pk, "attempt_no": 1, "user": owner}
            CredentialUse.objects.create(credential=secret, version=1, **use)
        if not number % 7:
            Artifact.objects.create(run=run, path="a.txt", sha256="0" * 64, size_bytes=1)
            LoggedModel.objects.create(run=run, name="net")
    submit(cast.alice, visibility="organization", team="vision")
    submit(cast.mia)
    _make_requests(cast)
    run_turn("owner")
    for name, shared in (("alice", False), ("sre", True), ("aud", False)):
        SavedFilter.objects.create(
            owner=cast.people[name], label="compute.cluster", name="f", query="q=x", is_shared=shared
        )
    for number, project in enumerate(Project.objects.order_by("pk")):
        for name in ("alice", "dana"):
            SavedView.objects.create(project=project, owner=cast.people[name], name="v", is_shared=bool(number % 2))
    _make_ways_in(cast)
    _make_books(cast)
    _make_models(cast)
    _make_environments(cast)
    for name in ("alice", "bob", "sre"):
        accounts.issue_token(cast.people[name], by=SYSTEM, name="t")
        CodeUpload.objects.create(owner=cast.people[name], sha256="1" * 64, format="zip", size_bytes=1)
        Fetch.objects.create(owner=cast.people[name], subject="run:1", kind="git", url="git@example.org:x.git")


def _make_books(cast: Cast) -> None:
    """Ask for more, and spend some: what quotas, the queue and money write down."""
    node, workload = quota_node(cast.alice, cast.team), Workload.objects.order_by("pk")[0]
    quotas.request_allocation(node, "cpu", 20_000, by=cast.alice, reason="x")
    Resource.objects.create(name="licenses", title="Licenses")
    QuotaDefault.objects.create(kind="user", resource="licenses", limit=1)
    PriorityClass.objects.create(name="urgent", rank=10)
    ShareUse.objects.get_or_create(node=node)
    money.set_price(workload.cluster_id, "cpu", 1_000_000, by=SYSTEM)
    budget = money.create_budget(node, cadence="month", policy_name="reserve", amount_micros=50_000_000, by=SYSTEM)
    money.hold(
        [money.Ask("fth-judged-1", tuple(node.path), workload.cluster_id, {"cpu": 1000}, 3600, workload.subject)]
    )
    money.settle("fth-judged-1", 1_800_000)
    alert = Alert.objects.create(period=budget.periods.get(), level="50", spent_micros=1, amount_micros=2, message="x")
    Delivery.objects.create(alert=alert, channel="email", target="x@example.org")


def _make_environments(cast: Cast) -> None:
    """Make environments of some shapes, with a version and a build of each."""
    for number, visibility in enumerate(Visibility.values):
        team = cast.team if number % 2 else None
        contents = environments.read_contents(packages="six\n")
        made = environments.create_environment(f"e{number}", contents, by=cast.alice, team=team, visibility=visibility)
        version = environments.version_numbered(made, "1")
        assert version is not None
        environments.request_build(version, by=cast.alice)
        grants.grant(cast.dana, made, list(Role)[1 + number % 3])


def _make_models(cast: Cast) -> None:
    """Make models of some shapes with what is judged through them, and what is stored."""
    Blob.objects.create(sha256="0" * 64, size_bytes=1)  # those of all artifacts here
    node, ends = quota_node(cast.alice, cast.team), timezone.now() + timedelta(hours=1)
    runs = Run.objects.filter(owner=cast.alice, artifacts__isnull=False).select_related("owner", "team")
    for number, run in enumerate(runs[:4]):
        team, visibility = (cast.team, "team") if number % 2 else (None, "public" if number else "private")
        model = models.create_model(f"m{number}", by=cast.alice, team=team, visibility=visibility)
        version = models.register_run(model, run, by=cast.alice)
        models.protect(model, "alias", "champion", by=cast.alice)
        models.request_move(model, "alias", "champion", version, by=cast.alice, reason="good")
        grants.grant(cast.dana, model, list(Role)[1 + number % 3])
        facts = {"sha256": "2" * 64, "size_bytes": 1, "part_bytes": 1, "part_count": 1, "expires_at": ends}
        Upload.objects.create(run=run, created_by=cast.alice, path="part", quota_node=node, **facts)
    Run.objects.filter(pk__in=[run.pk for run in runs[2:4]]).update(made_in=runs[0].pk)
    Collection.objects.create(asked_by="system")
    Retention.objects.create(team=cast.team, days_after_end=1)


def _make_ways_in(cast: Cast) -> None:
    """Make what people come in by, and the rules of a directory."""
    Registration.objects.create(username="newt")
    teams.invite([(cast.team, "member")], by=cast.mia)
    teams.invite([(cast.other_team, "member")], by=SYSTEM)
    for name in ("alice", "sre"):
        browser_of(cast.people[name])
    directory.save_rule(DirectoryRule(source="ldap", group="g", team=cast.team, role="member"), by=SYSTEM)
    directory.sync(by=SYSTEM)


def _make_requests(cast: Cast) -> None:
    """Ask for a few of them and for what never was; let one share have expired."""
    asked = [("run", row.pk) for row in Run.objects.order_by("pk")[::25]]
    asked += [("project", row.pk) for row in Project.objects.order_by("pk")[::4]]
    for number, (kind, pk) in enumerate([*asked, ("run", new_id())]):
        by = cast.charlie if number % 2 else cast.bob
        AccessRequest.objects.create(kind=kind, object_id=pk, by=by)
    for table in (RunUserGrant, RunGroupGrant, ProjectUserGrant, ProjectGroupGrant):
        half = table.objects.order_by("pk").values_list("pk", flat=True)[::3]
        table.objects.filter(pk__in=list(half)).update(expires_at=timezone.now() - timedelta(seconds=1))


def people(cast: Cast) -> Iterator[tuple[str, Any]]:
    """Yield everybody, by name: people, nobody, the platform."""
    yield "system", SYSTEM
    yield "anonymous", AnonymousUser()
    for name in NAMES:
        yield name, cast.again(name)


def token_holders(cast: Cast) -> Iterator[tuple[str, Any]]:
    """Yield people behind tokens of every kind."""
    for name, (kind, facts) in product(("alice", "bob", "dana", "sre", "ivan"), _TOKENS.items()):
        yield f"{name} {kind}", behind(cast.again(name), **facts)
    runs = list(Run.objects.filter(owner=cast.alice)[:2])
    bound = {
        "a run": f"run:{runs[0].pk}",
        "a user": f"user:{cast.alice.pk}",
        "an experiment": f"experiment:{runs[1].pk}",
    }
    for name, (kind, target) in product(("alice", "sre", "charlie"), bound.items()):
        yield f"{name} bound to {kind}", behind(cast.again(name), scopes=["all"], bound_to=target)


def behind(user: User, **facts: Any) -> User:
    """Let a person act through a token that is nowhere stored."""
    user.token = ApiToken(user=user, **facts)
    return user


def judged_models() -> list[type[Model]]:
    return [judged.model for judged in policy.registered()]
