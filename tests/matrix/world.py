"""Objects that exist and could leak, and what each person is to each of them.

The roles are written down here by hand, from the story of tests/people.py, and not computed by the code under test.
"""

import hashlib
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db.models import F
from django.utils import timezone

from apps.access import grants
from apps.access.decision import Role
from apps.access.principal import SYSTEM
from apps.accounts import services as accounts
from apps.accounts.models import ApiToken, LoginFailure, Registration, User, UserSession
from apps.budgets import services as money
from apps.budgets.models import Alert, Budget, Delivery, LedgerTx
from apps.compute import logs
from apps.compute.models import Attempt, Cluster, LogChunk, Loop, PriorityClass, Workload
from apps.core import blobs
from apps.credentials import services as credentials
from apps.credentials.models import Credential
from apps.directory import services as directory
from apps.directory.models import DirectoryRule, DirectorySync
from apps.environments import services as environments
from apps.environments.models import Environment
from apps.experiments.models import CodeUpload, Experiment
from apps.experiments.services import RUN_TOKEN_SCOPES
from apps.models import services as models
from apps.models.models import MoveRequest, Protection, RegisteredModel
from apps.quotas import services as quotas
from apps.quotas.models import AllocationRequest, QuotaDefault, QuotaNode, Reservation, Resource, ShareUse
from apps.sharing import services as sharing
from apps.sharing.models import AccessRequest
from apps.sources.models import Fetch
from apps.storage.models import Collection
from apps.teams import services as teams
from apps.teams.models import Invitation, Membership
from apps.tracking import services as tracking
from apps.tracking.models import Artifact, MetricPoint, MetricSeries, Param, Project, Retention, SavedView, Tag, Upload
from tests import people

SECRET = "sesame-74b1"  # in names, logs, params and files of alice's objects: nobody else may read it
NONE, VIEWER, EDITOR, MANAGER = Role.NONE, Role.VIEWER, Role.EDITOR, Role.MANAGER

# Object -> person -> role. alice's tokens are judged as alice, and narrowed.
ROLES: dict[str, dict[str, Role]] = {
    "ended": {"alice": MANAGER, "bob": VIEWER, "charlie": NONE, "dana": EDITOR, "mia": MANAGER, "olaf": NONE},
    "waiting": {"alice": MANAGER, "bob": VIEWER, "charlie": NONE, "dana": EDITOR, "mia": MANAGER, "olaf": NONE},
    "private": {"alice": MANAGER, "bob": NONE, "charlie": NONE, "dana": NONE, "mia": NONE, "olaf": NONE},
    "organization": {"alice": MANAGER, "bob": VIEWER, "charlie": NONE, "dana": NONE, "mia": MANAGER, "olaf": VIEWER},
    "public": {"alice": MANAGER, "bob": VIEWER, "charlie": VIEWER, "dana": VIEWER, "mia": MANAGER, "olaf": VIEWER},
    "project": {"alice": MANAGER, "bob": VIEWER, "charlie": NONE, "dana": NONE, "mia": MANAGER, "olaf": NONE},
    # A shared view of the project's: who manages the project may forget it, who edits it may not change it.
    "view": {"alice": MANAGER, "bob": VIEWER, "charlie": NONE, "dana": NONE, "mia": MANAGER, "olaf": NONE},
    "environment": {"alice": MANAGER, "bob": VIEWER, "charlie": NONE, "dana": NONE, "mia": MANAGER, "olaf": NONE},
    "model": {"alice": MANAGER, "bob": VIEWER, "charlie": NONE, "dana": NONE, "mia": MANAGER, "olaf": NONE},
    "own": {"alice": MANAGER, "bob": NONE, "charlie": NONE, "dana": NONE, "mia": NONE, "olaf": NONE},
    "team": {"alice": EDITOR, "bob": VIEWER, "charlie": NONE, "dana": NONE, "mia": MANAGER, "olaf": NONE},
    "credential": {"alice": MANAGER, "bob": VIEWER, "charlie": NONE, "dana": NONE, "mia": MANAGER, "olaf": NONE},
    "person": {"alice": EDITOR, "bob": VIEWER, "charlie": NONE, "dana": NONE, "mia": VIEWER, "olaf": NONE},
    "org": {"alice": VIEWER, "bob": VIEWER, "charlie": NONE, "dana": NONE, "mia": VIEWER, "olaf": VIEWER},
    "invitation": {"alice": NONE, "bob": NONE, "charlie": NONE, "dana": NONE, "mia": MANAGER, "olaf": NONE},
    "registration": dict.fromkeys(["alice", "bob", "charlie", "dana", "mia", "olaf"], NONE),
    "request": {"alice": MANAGER, "bob": NONE, "charlie": VIEWER, "dana": NONE, "mia": MANAGER, "olaf": NONE},
    "asked": {"alice": VIEWER, "bob": NONE, "charlie": MANAGER, "dana": NONE, "mia": NONE, "olaf": NONE},
    # A team's budget is for all in it; what was charged for alice's work she sees, and who maintains the team.
    "budget": {"alice": VIEWER, "bob": VIEWER, "charlie": NONE, "dana": NONE, "mia": VIEWER, "olaf": NONE},
    "charge": {"alice": VIEWER, "bob": NONE, "charlie": NONE, "dana": NONE, "mia": VIEWER, "olaf": NONE},
    # alice's place in the team, of which its maintainers hand out; and her request for more there.
    "place": {"alice": EDITOR, "bob": NONE, "charlie": NONE, "dana": NONE, "mia": MANAGER, "olaf": NONE},
    "allocation": {"alice": EDITOR, "bob": NONE, "charlie": NONE, "dana": NONE, "mia": MANAGER, "olaf": NONE},
    "cluster": dict.fromkeys(["alice", "bob", "charlie", "dana", "mia", "olaf"], VIEWER),
}
# Beside the cast: tom is a member of the team, vera was given the role viewer, gus' team in another organization the role
# manager. With alice, bob, mia, dana, olaf and charlie these are the nine relations one can have to an object.
_TOM = dict.fromkeys(
    ["ended", "waiting", "organization", "public", "project", "model", "environment", "credential", "team"], EDITOR
)
_MORE: dict[str, dict[str, Role]] = {
    "tom": {**_TOM, "view": VIEWER, "budget": VIEWER, "person": VIEWER, "org": VIEWER, "cluster": VIEWER},
    "vera": {"ended": VIEWER, "waiting": VIEWER, "public": VIEWER, "cluster": VIEWER},
    "gus": {"ended": MANAGER, "waiting": MANAGER, "public": VIEWER, "cluster": VIEWER, "request": MANAGER},
}
EXPERIMENTS = ("ended", "waiting", "private", "organization", "public")
for _line, _roles in ROLES.items():
    _roles.update({name: held.get(_line, NONE) for name, held in _MORE.items()})
    _roles["sre"] = MANAGER
    _roles["aud"] = VIEWER


@dataclass
class World:
    """What exists. `ended` can be retried and deleted, `waiting` stopped; both are the team's and shared with dana."""

    cast: people.Cast
    cluster: Cluster
    project: Project
    view: SavedView
    environment: Environment
    model: RegisteredModel
    move: MoveRequest
    rule_of_model: Protection
    ended: Experiment
    waiting: Experiment
    private: Experiment
    organization: Experiment
    public: Experiment
    upload: CodeUpload
    token: ApiToken
    membership: Membership
    request: AccessRequest
    asked: AccessRequest
    allocation: AllocationRequest
    artifact: Artifact
    sending: Upload
    credential: Credential
    rule: DirectoryRule
    sync: DirectorySync
    robot: User
    invitation: Invitation
    registration: Registration
    budget: Budget
    charge: LedgerTx
    place: QuotaNode
    priority_class: PriorityClass
    bearers: dict[str, str]
    sessions: dict[str, str]

    @property
    def session(self) -> UserSession:
        """alice's browser."""
        return UserSession.objects.get(user=self.cast.alice)

    @property
    def experiments(self) -> dict[str, str]:
        """Experiment id -> its line of ROLES."""
        return {str(getattr(self, name).pk): name for name in EXPERIMENTS}


def make_world() -> World:
    cast = people.make_cast()
    alice = cast.alice
    cluster = people.fake_cluster()
    team = {"team": cast.team.slug, "visibility": "team", "name": f"work {SECRET}", "project": "default"}
    ended, waiting = (people.submit(alice, **team) for _ in range(2))
    other = {
        name: people.submit(alice, **{**team, "visibility": name}) for name in ("private", "organization", "public")
    }
    _add_people(cast)
    for experiment in (ended, waiting):
        people.share(experiment, cast.dana)
        people.share(experiment, cast.vera, VIEWER)
        grants.grant(cast.gus.groups.get(name="team:far"), experiment.run, MANAGER)
    _end(ended)
    artifact = _record(ended)
    sending = _sent(artifact)
    token, _ = accounts.issue_token(alice, by=alice, name=f"token {SECRET}")
    sha = hashlib.sha256(SECRET.encode()).hexdigest()
    upload = CodeUpload.objects.create(owner=alice, sha256=sha, format="tar.gz", size_bytes=10)
    _fetch(ended, sha)
    membership = Membership.objects.get(team=cast.team, user=cast.bob)
    project = Project.objects.get(pk=ended.run.project_id)
    view = tracking.save_view(project, f"view {SECRET}", f"q=run_name+%3D+'{SECRET}'", by=alice, is_shared=True)
    environment = _environment(alice, cast)
    model, move, rule_of_model = _model(ended, cast)
    tracking.create_logged_model(project, by=alice, name=f"net {SECRET}", run=ended.run)
    credential = _credential(alice, cast)
    rule, sync = _directory(cast)
    request, asked = _requests(cast, waiting)
    _records()
    robot = teams.create_service_account(cast.team, name="ci", by=SYSTEM)
    invitation, _ = teams.invite([(cast.team, "member")], by=cast.mia, email=f"{SECRET}@example.org")
    budget, charge = _money(ended, cast)
    registration = Registration.objects.create(username=f"newt-{SECRET}", email=f"{SECRET}@example.org")
    place = QuotaNode.objects.get(key=f"team:{cast.team.pk}/user:{alice.pk}")
    allocation = quotas.request_allocation(place, "cpu", 20_000, by=alice, reason=f"for {SECRET}")
    Resource.objects.create(name="licenses", title="Licenses")
    priority_class = PriorityClass.objects.create(name="high", rank=10)
    bearers = _bearers(cast, ended, other["private"])
    return World(
        cast, cluster, project, view, environment, model, move, rule_of_model, ended, waiting, **other, upload=upload, token=token, membership=membership,
        request=request, asked=asked, artifact=artifact, sending=sending, credential=credential, rule=rule, sync=sync, robot=robot,
        invitation=invitation, registration=registration, budget=budget, charge=charge, place=place, allocation=allocation,
        priority_class=priority_class, bearers=bearers, sessions=_sessions(cast),
    )  # fmt: skip


def _add_people(cast: people.Cast) -> None:
    abroad = teams.create_organization(slug="abroad", name="Abroad", by=SYSTEM)
    far = teams.create_team(abroad, slug="far", name="Far", by=SYSTEM)
    for name in _MORE:
        cast.people[name] = accounts.create_user(name, by=SYSTEM, password=people.PASSWORD)
    teams.set_member(cast.team, cast.tom, role="member", by=SYSTEM)
    teams.set_member(far, cast.gus, role="viewer", by=SYSTEM)


def _end(experiment: Experiment) -> None:
    """Let it fail with one attempt that has a log."""
    workload = experiment.workload
    for state in ("starting", "failed"):
        Workload.objects.filter(pk=workload.pk).update(state=state, state_version=F("state_version") + 1, attempt_no=1)
    attempt = Attempt.objects.create(
        workload=workload, no=1, cluster=workload.cluster, handle=f"fth-{workload.pk.hex}-1", verdict="failed"
    )
    logs.append(attempt.pk, 0, f"line of {SECRET}\n".encode())
    logs.end(attempt.pk)


def _record(experiment: Experiment) -> Artifact:
    run = experiment.run
    of_run = {"run": run, "project": run.project}
    Param.objects.create(**of_run, key="param", value=SECRET)
    Tag.objects.create(**of_run, key="tag", value=SECRET)
    series = MetricSeries.objects.create(**of_run, key="loss", count=1, last_value=1.0, last_step=0)
    MetricPoint.objects.create(series=series, ordinal=0, step=0, time=run.created_at, value=1.0)
    blob = blobs.write([SECRET.encode()], limit=1 << 20)
    return Artifact.objects.create(
        run=run, path="out/report.txt", sha256=blob.sha256, size_bytes=blob.size_bytes, content_type="text/plain"
    )


def _sent(artifact: Artifact) -> Upload:
    """alice's upload, from which the file came; a rule for the team's files, and a collection."""
    Retention.objects.create(team=artifact.run.team, days_after_end=1000)
    Collection.objects.create(asked_by="system")
    return Upload.objects.create(
        run=artifact.run, created_by=artifact.run.owner, path=artifact.path, sha256=artifact.sha256,
        size_bytes=artifact.size_bytes, part_bytes=5 << 20, part_count=1, quota_node=quotas.leaf_of(artifact.run.owner, None),
        expires_at=timezone.now() + timedelta(hours=1), completed_at=timezone.now(),
    )  # fmt: skip


def _fetch(ended: Experiment, sha256: str) -> None:
    """Code of alice's that was fetched, with the secret wherever text can be."""
    facts = {"commit": "0" * 40, "branch": f"of-{SECRET}", "sha256": sha256, "format": "tar.gz", "state": "ready"}
    said = {"message": SECRET, "log": SECRET, "ref": SECRET, "subfolder": SECRET}
    made = Fetch.objects.create(
        owner=ended.run.owner,
        subject=f"run:{ended.pk}",
        kind="git",
        url=f"git@example.org:{SECRET}.git",
        **facts,
        **said,
    )
    ended.spec["code"] = {"git": {"url": made.url, "ref": SECRET, "subfolder": SECRET}}
    Experiment.objects.filter(pk=ended.pk).update(source=made, spec=ended.spec)


def _environment(alice: User, cast: people.Cast) -> Environment:
    """An environment of alice's in her team, built on the fake cluster, with the secret wherever text can be."""
    contents = environments.read_contents(
        packages=f"six # {SECRET}\npkg-{SECRET}\n", variables={"A": SECRET}, image=f"image-{SECRET}"
    )
    made = environments.create_environment(f"env-{SECRET}", contents, by=alice, team=cast.team, description=SECRET)
    version = environments.version_numbered(made, "1")
    assert version is not None
    environments.request_build(version, by=alice)
    environments.build_due()
    return made


def _model(ended: Experiment, cast: people.Cast) -> tuple[RegisteredModel, MoveRequest, Protection]:
    """A model of alice's in her team with two versions; an alias of it is protected, and she asks for its move."""
    alice = cast.alice
    model = models.create_model(f"model {SECRET}", by=alice, team=cast.team, description=SECRET)
    details = models.Details(
        datasets=[{"name": f"data {SECRET}", "digest": "1"}], environment=SECRET, tags={"t": SECRET}
    )
    first, _ = (models.register_run(model, ended.run, "out", by=alice, details=details) for _ in range(2))
    models.set_alias(model, "beta", first, by=alice, reason=SECRET)
    rule = models.protect(model, "alias", "champion", by=alice)
    models.protect(model, "stage", "Production", by=alice, approvals=0, separate_duties=False)
    return model, models.request_move(model, "alias", "champion", first, by=alice, reason=SECRET), rule


def _money(experiment: Experiment, cast: people.Cast) -> tuple[Budget, LedgerTx]:
    """The team's budget, and what alice's experiment was charged; the secret in the reason of the one and the subject."""
    node, workload = QuotaNode.objects.get(key=f"team:{cast.team.pk}"), experiment.workload
    money.set_price(workload.cluster_id, "cpu", 1_000_000, by=SYSTEM)
    budget = money.create_budget(node, cadence="month", policy_name="reserve", amount_micros=50_000_000, by=SYSTEM)
    key, path = f"fth-{workload.pk.hex}-1", tuple(workload.quota_node.path)
    money.hold([money.Ask(key, path, workload.cluster_id, {"cpu": 1000}, 3600, f"run:{experiment.pk} {SECRET}")])
    money.settle(key, 1_800_000)
    alert = Alert.objects.create(
        period=budget.periods.get(), level="50", spent_micros=1, amount_micros=2, message=SECRET
    )
    Delivery.objects.create(alert=alert, channel="email", target=f"{SECRET}@example.org")
    return budget, LedgerTx.objects.get(hold__key=key, kind="charge")


def _directory(cast: people.Cast) -> tuple[DirectoryRule, DirectorySync]:
    made = DirectoryRule(source="ldap", group=f"cn={SECRET}", team=cast.team, role="member")
    rule = directory.save_rule(made, by=SYSTEM)
    return rule, directory.sync(by=SYSTEM)


def _credential(alice: User, cast: people.Cast) -> Credential:
    made = credentials.create_credential(
        f"git-{SECRET}",
        "git_https",
        {"host": "git.example.org", "username": SECRET, "token": SECRET},
        by=alice,
        team=cast.team,
    )
    made.uses.create(version=1, alias="GIT", subject=f"run:{made.pk}", attempt=made.pk, attempt_no=1, user=alice)
    return made


def _requests(cast: people.Cast, experiment: Experiment) -> tuple[AccessRequest, AccessRequest]:
    """charlie asks for alice's experiment; alice asks for a project of his."""
    his = Project.objects.create(name=f"his {SECRET}", owner=cast.charlie, visibility="private")
    ask = sharing.request_access
    return (
        ask("experiment", experiment.pk, by=cast.charlie, message="please"),
        ask("project", his.pk, by=cast.alice, message=f"for {SECRET}"),
    )


def _records() -> None:
    """What the platform writes about itself, for the operators' pages."""
    LoginFailure.objects.create(username="alice", ip="127.0.0.1")
    Loop.objects.create(name="audit")
    node = QuotaNode.objects.filter(kind="user").first()
    assert node is not None
    Reservation.objects.create(key="fth-test-1", node=node, node_ids=node.path, amounts={"cpu": 1000})
    ShareUse.objects.get_or_create(node=node)
    Resource.objects.create(name="license", title="Licenses")
    QuotaDefault.objects.create(kind="user", resource="license", limit=1)
    PriorityClass.objects.create(name="urgent", rank=10)


def _sessions(cast: people.Cast) -> dict[str, str]:
    found = {}
    for name, user in cast.people.items():
        client = people.browser_of(user)
        found[name] = client.cookies[settings.SESSION_COOKIE_NAME].value
    return found


def _token(name: str, user: User) -> str:
    scopes = ["admin"] if name == "sre" else ["all"]
    return accounts.issue_token(user, by=SYSTEM, name="api", scopes=scopes)[1]


def _bearers(cast: people.Cast, mine: Experiment, other: Experiment) -> dict[str, str]:
    found = {name: _token(name, user) for name, user in cast.people.items()}
    found["reader"] = accounts.issue_token(cast.alice, by=SYSTEM, name="read", scopes=["read"])[1]
    for name, experiment in (("job", mine), ("stray", other)):
        found[name] = accounts.issue_run_token(
            cast.alice,
            bound_to=f"run:{experiment.pk}",
            purpose=f"test {experiment.pk}",
            scopes=RUN_TOKEN_SCOPES,
            expires_in=timedelta(hours=1),
        )
    return found


def example_of(world: World, model: Any) -> Any:
    """Return a row of `model` for its admin page."""
    chosen = {
        User: world.cast.alice,
        LogChunk: LogChunk.objects.first(),
        QuotaNode: QuotaNode.objects.filter(kind="user").first(),
    }
    return chosen.get(model) or model._default_manager.order_by("pk").first()
