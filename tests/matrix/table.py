"""The table of routes: what each one does to which object, and what it answers when that is allowed.

What is *expected of whom* is not here: it follows from the policies and from the roles in `world`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from django.db.models import Model

from apps.accounts.models import ApiToken, Registration, User, UserSession
from apps.budgets.models import Budget, LedgerTx
from apps.compute.models import Cluster, PriorityClass
from apps.credentials.models import Credential
from apps.environments.models import Environment, EnvironmentVersion
from apps.experiments.models import CodeUpload, Experiment
from apps.models.models import ModelVersion, MoveRequest, RegisteredModel
from apps.quotas.models import AllocationRequest, QuotaNode
from apps.sharing.models import AccessRequest
from apps.teams.models import Invitation, Membership, Organization, Team
from apps.tracking.models import Artifact, Project, Run, SavedView, Upload
from tests.matrix.world import World

Names = Callable[[World], dict[str, Any]]


@dataclass(frozen=True)
class Row:
    """One method of one named route.

    `model` and `action` say which policy judges, `role` which line of ROLES the object belongs to; without a model
    the route is for every active person (`scope` narrows tokens), or for everybody with `public`.
    """

    method: str
    name: str
    ok: int = 200
    model: type[Model] | None = None
    action: str = "view"
    role: str = ""
    names: Names = field(default=lambda _world: {})
    data: Callable[[World], Any] = field(default=lambda _world: {})
    scope: str = ""
    public: bool = False
    inside: int = 0  # what a public page answers to those who are logged in, if it differs
    only: str = ""  # the one person who may, of all whose role would do
    acting: int = 0  # what an acting admin is answered, if it differs
    people_only: bool = False  # a run's own token is refused, whatever its scopes
    token_only: bool = False  # a session is nobody here
    operators: bool = False  # without an object: for admins, and for auditors what only reads
    admin_only: bool = False  # whatever one's role: only an admin who acts as one
    but: dict[str, int] = field(
        default_factory=dict
    )  # who is answered otherwise than his role says, with the reason beside it
    query: str = ""

    @property
    def key(self) -> str:
        return f"{self.method} {self.name}"


def _ended(world: World) -> dict[str, Any]:
    return {"pk": world.ended.pk}


def _waiting(world: World) -> dict[str, Any]:
    return {"pk": world.waiting.pk}


def _by_id(names: Names) -> Names:
    return lambda world: {"id": names(world)["pk"]}


def _project(world: World) -> dict[str, Any]:
    return {"pk": world.project.pk}


def _team(world: World) -> dict[str, Any]:
    return {"slug": world.cast.team.slug}


def _page(name: str, action: str = "view") -> Row:
    return Row("GET", name, 200, Experiment, action, "ended", _ended)


def _act(name: str, action: str, on: Names) -> Row:
    return Row("POST", name, 302, Experiment, action, _role(on), on)


def _role(names: Names) -> str:
    return "waiting" if names is _waiting else "ended"


def _credential(world: World) -> dict[str, Any]:
    return {"pk": world.credential.pk}


_NEW_CREDENTIAL = {"name": "new", "kind": "generic", "values": {"value": "another-secret"}}


def _own_token(world: World) -> dict[str, Any]:
    return {"pk": world.token.pk}


def _service(world: World) -> dict[str, Any]:
    return {**_team(world), "name": world.robot.username}


def _link(_world: World) -> dict[str, Any]:
    return {"token": "never-was"}


def _invitation(world: World) -> dict[str, Any]:
    return {"pk": world.invitation.pk}


def _token_form(_world: World) -> dict[str, Any]:
    return {"name": "t", "scope": "read", "expires_in_days": "7"}


def _of(kind: str, names: Names = _ended) -> Names:
    """Name the object in the address as the API of sharing does."""
    return lambda world: {"kind": kind, "id": names(world)["pk"]}


def _sheet(kind: str = "experiment", names: Names = _ended) -> Names:
    """Name it as the pages do."""
    return lambda world: {"kind": kind, **names(world)}


def _with(kind: str, subject: str, name: str) -> Names:
    return lambda world: {**_of(kind)(world), "subject_kind": subject, "name": name}


def _nothing(_world: World) -> dict[str, Any]:
    return {"kind": "run", "id": uuid4()}


def _request(world: World) -> dict[str, Any]:
    return {"pk": world.request.pk}


def _asked(world: World) -> dict[str, Any]:
    return {"pk": world.asked.pk}


PAGES_SHARING = [
    Row("GET", "share", 200, Experiment, "view", "ended", _sheet()),
    Row(
        "POST", "share-add", 302, Run, "share", "ended", _sheet("run"),
        lambda _world: {"kind": "user", "name": "charlie", "role": "viewer"},
    ),
    Row(
        "POST", "share-remove", 302, Experiment, "share", "ended", _sheet(),
        lambda _world: {"kind": "user", "name": "dana"},
    ),
    Row("POST", "share-visibility", 302, Experiment, "share", "ended", _sheet(), lambda _world: {"visibility": "team"}),
    Row("POST", "share-owner", 400, Experiment, "share", "ended", _sheet()),  # nobody is named
    Row("GET", "share-ask", names=lambda _world: {"kind": "run", "pk": uuid4()}),
    Row(
        "POST", "share-ask", 302, scope="accessrequest:withdraw", acting=404,
        names=lambda _world: {"kind": "run", "pk": uuid4()}, data=lambda _world: {"role": "viewer"},
    ),
    Row("GET", "requests"),
    Row("POST", "request-decide", 302, AccessRequest, "decide", "request", _request),
    Row("POST", "request-withdraw", 302, AccessRequest, "withdraw", "asked", _asked, only="alice"),
]  # fmt: skip


def _model(world: World) -> dict[str, Any]:
    return {"pk": world.model.pk}


def _version(world: World) -> dict[str, Any]:
    return {**_model(world), "number": 1}


def _move(world: World) -> dict[str, Any]:
    return {"pk": world.move.pk}


def _on_model(method: str, route: str, ok: int = 200, action: str = "view", names: Names = _model, **data: Any) -> Row:
    return Row(method, route, ok, RegisteredModel, action, "model", names, lambda _world: data)


def _of_version(world: World) -> dict[str, Any]:
    """Name a version as a node of the lineage."""
    pk = ModelVersion.objects.get(model=world.model, number=1).pk
    return {"kind": "modelversion", "pk": pk}


PAGES_MODELS = [
    Row("GET", "registeredmodel-list"),
    Row("GET", "registeredmodel-new"),
    Row("POST", "registeredmodel-new", 400),  # nothing was typed
    Row("GET", "registeredmodel-register", 200, Run, "view", "ended", lambda world: {"run": world.ended.pk}),
    Row("POST", "registeredmodel-register", 400, Run, "view", "ended", lambda world: {"run": world.ended.pk}),  # nor here
    Row("GET", "registeredmodel-approvals"),
    Row("POST", "registeredmodel-answer", 302, MoveRequest, "approve", "model", _move, lambda _world: {"do": "approve"}),
    Row("POST", "registeredmodel-withdraw", 302, MoveRequest, "withdraw", "model", _move),
    _on_model("GET", "registeredmodel"),
    _on_model("GET", "registeredmodel-moves"),
    _on_model("GET", "registeredmodel-rules"),
    _on_model("GET", "registeredmodel-history"),
    _on_model("GET", "registeredmodel-compare"),
    _on_model("GET", "registeredmodel-edit", action="edit"),
    _on_model("POST", "registeredmodel-edit", 302, "edit", name="renamed"),
    _on_model("GET", "registeredmodel-upload", action="register"),
    _on_model("POST", "registeredmodel-upload", 400, "register"),  # no file
    _on_model("POST", "registeredmodel-delete", 302, "delete"),
    _on_model("POST", "registeredmodel-alias", 302, "move", alias="beta", version="2", do="set"),
    _on_model("POST", "registeredmodel-protect", 400, "protect"),  # nothing was typed
    _on_model(
        "POST", "registeredmodel-lift", 302, "protect", lambda world: {**_model(world), "rule": world.rule_of_model.pk},
        reason="x",
    ),
    _on_model("GET", "modelversion", names=_version),
    _on_model("GET", "modelversion-files", names=_version),
    _on_model("GET", "modelversion-archive", 302, names=_version),
    _on_model("GET", "modelversion-edit", action="edit", names=_version),
    _on_model("POST", "modelversion-edit", 302, "edit", _version, description="x"),
    _on_model("POST", "modelversion-stage", 302, "move", _version, stage="Staging"),
    _on_model("POST", "modelversion-delete", 302, "delete", _version),
    Row("GET", "lineage", 200, ModelVersion, "view", "model", _of_version),
]  # fmt: skip


def _environment(world: World) -> dict[str, Any]:
    return {"pk": world.environment.pk}


def _environment_version(world: World) -> dict[str, Any]:
    return {**_environment(world), "number": 1}


def _on_environment(
    method: str, route: str, ok: int = 200, action: str = "view", names: Names = _environment, **data: Any
) -> Row:
    return Row(method, route, ok, Environment, action, "environment", names, lambda _world: data)


PAGES_ENVIRONMENTS = [
    Row("GET", "environment-list"),
    Row("GET", "environment-new"),
    Row("POST", "environment-new", 400),  # nothing was typed
    _on_environment("GET", "environment"),
    _on_environment("GET", "environment-history"),
    _on_environment("GET", "environment-edit", action="edit"),
    _on_environment("POST", "environment-edit", 302, "edit", name="renamed"),
    _on_environment("POST", "environment-delete", 302, "delete"),
    _on_environment("GET", "environment-add", action="edit"),
    _on_environment("POST", "environment-add", 302, "edit", packages="six"),
    _on_environment("GET", "environment-version", names=_environment_version),
    Row(
        "POST", "environment-build", 302, EnvironmentVersion, "build", "environment", _environment_version,
    ),
]  # fmt: skip


def _allocation(world: World) -> dict[str, Any]:
    return {"pk": world.allocation.pk}


PAGES_USAGE = [
    Row("GET", "usage"),
    Row("GET", "usage-queue"),
    Row("GET", "usage-member", 200, Team, "manage", "team", lambda world: _bob_in_team(world)),
    Row(
        "POST", "usage-member", 302, Team, "manage", "team", lambda world: _bob_in_team(world),
        lambda _world: {"weight": "2", "reason": "x"},
    ),
    Row("GET", "usage-ask"),
    Row("POST", "usage-ask", 400),  # nothing was typed
    Row("GET", "usage-requests"),
    Row("POST", "usage-request-decide", 302, AllocationRequest, "decide", "allocation", _allocation),
    Row("POST", "usage-request-withdraw", 302, AllocationRequest, "withdraw", "allocation", _allocation, only="alice"),
]  # fmt: skip


PAGES = [
    *PAGES_SHARING,
    *PAGES_ENVIRONMENTS,
    Row("GET", "login", 200, public=True, inside=302),
    Row("POST", "login", 400, public=True),  # nothing was typed
    Row("GET", "login-oidc", 404, public=True),  # no provider is named in the settings
    Row("GET", "setup", 404, public=True, names=lambda _world: {"token": "never-was"}),
    Row("POST", "setup", 400, public=True, names=lambda _world: {"token": "never-was"}),
    Row("GET", "reset", 404, public=True, names=lambda _world: {"token": "never-was"}),
    Row("POST", "reset", 404, public=True, names=lambda _world: {"token": "never-was"}),
    Row("POST", "logout", 302),
    Row("GET", "elevate", admin_only=True),
    Row("POST", "elevate", 400, admin_only=True),  # nothing was typed
    Row("POST", "elevation-end", 302),
    Row("GET", "account"),
    Row("POST", "account-password", 400),  # nothing was typed
    Row("POST", "second-factor"),
    Row("POST", "second-factor-confirm", 400),  # nothing was typed
    Row("POST", "second-factor-off", 400),  # nothing was typed
    Row("POST", "sessions-end-others", 302),
    Row("POST", "session-end", 302, UserSession, "end", "own", lambda world: {"pk": world.session.pk}),
    Row("POST", "seeing-stop", 302),
    Row("GET", "mlflow-health", public=True),
    Row("GET", "mlflow-version", public=True),
    Row("GET", "home"),
    *PAGES_USAGE,
    *PAGES_MODELS,
    Row("GET", "usage-statement"),
    Row("GET", "search"),
    Row("POST", "preferences", 302),
    Row("GET", "register", 404, public=True),  # switched off
    Row("POST", "register", 404, public=True),
    Row("GET", "join", 404, public=True, names=_link),
    Row("POST", "join", 404, public=True, names=_link),
    Row("GET", "token-list"),
    Row("POST", "token-list", 201, data=_token_form),
    Row("POST", "token-revoke", 302, ApiToken, "revoke", "own", _own_token),
    Row(
        "POST", "token-rotate", 201, ApiToken, "rotate", "own", _own_token, lambda _world: {"overlap": "24"},
        but={"sre": 403},  # an admin ends a token, and never has its value
    ),
    Row(
        "POST", "token-addresses", 302, ApiToken, "edit", "own", _own_token, lambda _world: {"addresses": "10.0.0.0/8"},
    ),
    Row("POST", "team-invite", 201, Team, "manage", "team", _team, lambda _world: {"role": "member", "days": "7"}),
    Row(
        "POST", "team-invitation-revoke", 302, Invitation, "revoke", "invitation",
        lambda world: {**_team(world), **_invitation(world)},
    ),
    Row(
        "POST", "team-service-account-add", 302, Team, "manage", "team", _team,
        lambda _world: {"name": "new", "role": "member"},
    ),
    Row("GET", "team-service-account", 200, Team, "manage", "team", _service),
    Row("POST", "team-service-account", 302, Team, "manage", "team", _service, lambda _world: {"role": "viewer"}),
    Row("POST", "team-service-token-add", 201, Team, "manage", "team", _service, _token_form),
    Row("GET", "team-list"),
    Row("GET", "team", 200, Team, "view", "team", _team),
    Row("GET", "team-history", 200, Team, "view", "team", _team),
    Row(
        "POST", "team-member-add", 302, Team, "manage", "team", _team,
        lambda world: {"username": world.cast.bob.username, "role": "member"},
    ),
    Row(
        "POST", "team-member-change", 302, Membership, "manage", "team",
        lambda world: {**_team(world), "pk": world.membership.pk}, lambda _world: {"role": "viewer"},
    ),
    Row("GET", "credential-list"),
    Row("GET", "credential-new"),
    Row("POST", "credential-new", 400),  # nothing was typed
    Row("GET", "credential", 200, Credential, "view", "credential", _credential),
    Row("POST", "credential-edit", 302, Credential, "edit", "credential", _credential,
        lambda _world: {"name": "other", "visibility": "team"}),
    Row("POST", "credential-replace", 302, Credential, "replace", "credential", _credential,
        lambda _world: {"value_host": "a", "value_username": "b", "value_token": "another-token"}),
    Row("POST", "credential-delete", 302, Credential, "delete", "credential", _credential),
    Row("GET", "experiment-list"),
    Row("GET", "experiment-new"),
    Row("POST", "experiment-new", 400),  # no command
    Row("POST", "experiment-preview"),
    Row("POST", "experiment-bulk", 302),
    Row("GET", "project-list"),
    *(Row("GET", f"project{part}", 200, Project, "view", "project", _project) for part in ("", "-keys", "-complete")),
    Row("POST", "project-bulk", 302, Project, "view", "project", _project),
    Row(
        "POST", "project-views", 302, Project, "view", "project", _project, lambda _world: {"name": "mine"}, but={"aud": 403},
    ),  # whoever sees it keeps views of his own, but an auditor keeps nothing
    Row(
        "POST", "project-view", 302, SavedView, "edit", "view", lambda world: {**_project(world), "view": world.view.pk},
        lambda _world: {"name": "renamed"},
    ),
    Row("GET", "experiment-compare", 302),
    Row("GET", "run-compare"),
    _page("experiment"),
    _page("experiment-metrics"),
    _page("experiment-media"),
    _page("experiment-logs", "logs"),
    _page("experiment-artifacts"),
    _page("experiment-events"),
    _page("experiment-history"),
    _page("experiment-status"),
    _page("experiment-why"),
    _page("experiment-clone", "clone"),
    Row("POST", "experiment-clone", 400, Experiment, "clone", "ended", _ended),  # no command
    _act("experiment-stop", "stop", _waiting),
    _act("experiment-retry", "retry", _ended),
    _act("experiment-delete", "delete", _ended),
    # Its pages are those of its experiment.
    *(Row("GET", f"run{part}", 302, Run, "view", "ended", _ended) for part in ("", "-metrics", "-media", "-artifacts", "-history")),
    Row("GET", "run-status", 302, Run, "view", "ended", _ended),
    Row("POST", "run-rename", 302, Run, "log", "ended", _ended, lambda _world: {"name": "renamed"}),
    Row("POST", "run-finish", 302, Run, "log", "ended", _ended, lambda _world: {"status": "finished"}),
    Row("POST", "run-delete", 302, Run, "delete", "ended", _ended),
    Row("POST", "run-restore", 302, Run, "delete", "ended", _ended),
]  # fmt: skip


def _operation(method: str, name: str, ok: int, action: str, on: Names = _ended) -> Row:
    return Row(method, f"api-experiment-{name}", ok, Experiment, action, _role(on), _by_id(on))


def _operators(method: str, name: str, ok: int = 200, **more: Any) -> Row:
    return Row(method, f"api-directory-{name}", ok, operators=True, **more)


def _rule(world: World) -> dict[str, Any]:
    return {"pk": world.rule.pk}


def _a_rule(world: World) -> dict[str, Any]:
    return {"source": "oidc", "group": "cooks", "team": world.cast.team.slug, "role": "member"}


def _code(world: World) -> dict[str, Any]:
    return {"ref": f"sha256:{world.upload.sha256}"}


def _on_run(method: str, name: str, ok: int, action: str, **more: Any) -> Row:
    return Row(method, f"api-run-{name}", ok, Run, action, "ended", _by_id(_ended), **more)


def _alice(world: World) -> dict[str, Any]:
    return {"username": world.cast.alice.username}


def _bob_in_team(world: World) -> dict[str, Any]:
    return {**_team(world), "username": world.cast.bob.username}


def _registration(world: World) -> dict[str, Any]:
    return {"pk": world.registration.pk}


def _organization(world: World) -> dict[str, Any]:
    return {"slug": world.cast.organization.slug}


def _reason(_world: World) -> dict[str, Any]:
    return {"reason": "x"}


def _on_user(verb: str, query: str = "") -> Row:
    return Row("POST", f"api-user-{verb}", 200, User, "manage", "person", _alice, _reason, query=query)


PEOPLE_API = [
    Row("POST", "api-token-rotate", 201, ApiToken, "rotate", "own", _own_token, but={"sre": 403}),  # as on the page
    Row("GET", "api-user-list"),
    Row("POST", "api-user-list", 201, admin_only=True, data=lambda _world: {"username": "new"}),
    Row("GET", "api-user-detail", 200, User, "view", "person", _alice),
    Row("PATCH", "api-user-detail", 200, User, "manage", "person", _alice, lambda _world: {"first_name": "A"}),
    _on_user("disable"),
    _on_user("enable"),
    _on_user("offboard", "?dry_run=true"),
    Row(
        "POST", "api-user-import", 200, admin_only=True, data=lambda _world: {"csv": "username\nnew\n"},
        query="?dry_run=true",
    ),
    Row("GET", "api-registration-list"),
    Row("GET", "api-registration-detail", 200, Registration, "view", "registration", _registration),
    Row("POST", "api-registration-approve", 200, Registration, "decide", "registration", _registration, _reason),
    Row("POST", "api-registration-reject", 200, Registration, "decide", "registration", _registration, _reason),
    Row("GET", "api-organization-list"),
    Row("POST", "api-organization-list", 201, admin_only=True, data=lambda _world: {"slug": "new", "name": "New"}),
    Row("GET", "api-organization-detail", 200, Organization, "view", "org", _organization),
    Row(
        "PATCH", "api-organization-detail", 200, Organization, "manage", "org", _organization,
        lambda _world: {"name": "Acme!"},
    ),
    Row(
        "POST", "api-team-list", 201, admin_only=True,
        data=lambda world: {"organization": world.cast.organization.slug, "slug": "new", "name": "New"},
    ),
    Row(
        "PATCH", "api-team-detail", 200, Team, "manage", "team", _team, lambda _world: {"name": "Sight"},
        admin_only=True,
    ),
    Row("PUT", "api-team-member", 200, Team, "manage", "team", _bob_in_team, lambda _world: {"role": "member"}),
    Row("DELETE", "api-team-member", 204, Team, "manage", "team", _bob_in_team),
    Row("GET", "api-service-account-list", 200, Team, "view", "team", _team),
    Row("POST", "api-service-account-list", 201, Team, "manage", "team", _team, lambda _world: {"name": "new"}),
    Row("GET", "api-service-account-detail", 200, Team, "view", "team", _service),
    Row(
        "PATCH", "api-service-account-detail", 200, Team, "manage", "team", _service, lambda _world: {"role": "viewer"}
    ),
    Row("POST", "api-service-account-token", 201, Team, "manage", "team", _service, lambda _world: {"name": "t"}),
    Row("GET", "api-invitation-list"),
    Row(
        "POST", "api-invitation-list", 201, Team, "manage", "team",
        data=lambda world: {"teams": [{"team": world.cast.team.slug, "role": "member"}]},
    ),
    Row("GET", "api-invitation-detail", 200, Invitation, "view", "invitation", _invitation),
    Row("DELETE", "api-invitation-detail", 204, Invitation, "revoke", "invitation", _invitation),
]  # fmt: skip


def _file(world: World) -> dict[str, Any]:
    return {"id": world.ended.pk, "path": world.artifact.path}


def _sending(world: World) -> dict[str, Any]:
    return {"pk": world.sending.pk}


def _promised(world: World) -> dict[str, Any]:
    """What everybody who may view the run may keep again without sending it."""
    return {"path": "again.txt", "size_bytes": world.artifact.size_bytes, "sha256": world.artifact.sha256}


# An upload is there for who began it, alice, and for nobody else.
NOT_HIS = dict.fromkeys(("bob", "charlie", "dana", "mia", "olaf", "tom", "vera", "gus", "sre", "aud"), 404)


def _on_credential(method: str, name: str, ok: int, action: str, data: Any = None) -> Row:
    on = _by_id(_credential)
    return Row(method, f"api-credential-{name}", ok, Credential, action, "credential", on, lambda _world: data or {})


API_SHARING = [
    Row("GET", "api-access", 200, Experiment, "view", "ended", _of("experiment"), people_only=True),
    Row(
        "PATCH", "api-access", 204, Experiment, "share", "ended", _of("experiment"),
        lambda _world: {"visibility": "team"},
    ),
    Row("GET", "api-access-why", 200, Experiment, "view", "ended", _of("experiment")),
    Row("POST", "api-access-owner", 400, Run, "share", "ended", _of("run")),  # nobody is named
    Row("POST", "api-access-ask", 202, scope="accessrequest:withdraw", names=_nothing, acting=404),
    Row(
        "PUT", "api-share", 200, Run, "share", "ended", _with("run", "user", "charlie"),
        lambda _world: {"role": "viewer"},
    ),
    Row("DELETE", "api-share", 204, Experiment, "share", "ended", _with("experiment", "user", "dana")),
    Row("GET", "api-access-request-list"),
    Row("GET", "api-access-request-detail", 200, AccessRequest, "view", "request", _request),
    Row("POST", "api-access-request-grant", 200, AccessRequest, "decide", "request", _request),
    Row("POST", "api-access-request-refuse", 200, AccessRequest, "decide", "request", _request),
    Row(
        "POST", "api-access-request-withdraw", 204, AccessRequest, "withdraw", "asked", _asked,
        scope="accessrequest:withdraw", only="alice",
    ),
]  # fmt: skip


def _budget(world: World) -> dict[str, Any]:
    return {"id": world.budget.pk}


def _charge(world: World) -> dict[str, Any]:
    return {"id": world.charge.pk}


API_MONEY = [
    Row("GET", "api-budget-list"),
    Row(
        "POST", "api-budget-list", 201, admin_only=True,
        data=lambda _world: {"place": "team:vision", "cadence": "year", "policy": "observe", "amount_micros": 5},
    ),
    Row("GET", "api-budget-detail", 200, Budget, "view", "budget", _budget),
    Row(
        "PATCH", "api-budget-detail", 200, Budget, "manage", "budget", _budget,
        lambda _world: {"amount_micros": 7, "reason": "x"},
    ),
    Row("POST", "api-budget-end", 200, Budget, "manage", "budget", _budget, _reason),
    Row("GET", "api-price-list"),
    Row(
        "POST", "api-price-list", 201, admin_only=True,
        data=lambda _world: {"cluster": "fake", "resource": "gpu", "micros_per_hour": 5},
    ),
    Row("GET", "api-ledger-list"),
    Row("GET", "api-ledger-detail", 200, LedgerTx, "view", "charge", _charge),
    Row("POST", "api-ledger-reverse", 201, LedgerTx, "reverse", "charge", _charge, _reason),
    Row("GET", "api-costs", but={"job": 403, "stray": 403}),  # what a job costs is no business of the job
    Row("GET", "api-statement", but={"job": 403, "stray": 403}),
]  # fmt: skip


def _place(world: World) -> dict[str, Any]:
    return {"pk": world.place.pk}


def _allocation(world: World) -> dict[str, Any]:
    return {"pk": world.allocation.pk}


def _priority_class(world: World) -> dict[str, Any]:
    return {"name": world.priority_class.name}


def _more(world: World) -> dict[str, Any]:
    return {"node": world.place.key, "resource": "gpu", "amount": "9", "reason": "x"}


def _another_limit(world: World) -> dict[str, Any]:
    return {"limits": [{"node": world.place.key, "resource": "cpu", "limit": "8"}]}


# Who does not see the place that he names: a field of the body, as for any that is not there.
_UNSEEN = dict.fromkeys(["bob", "charlie", "dana", "olaf", "tom", "vera", "gus", "job", "stray"], 400)
_OF_ADMINS: dict[str, Any] = {"model": PriorityClass, "action": "manage", "role": "cluster", "names": _priority_class}

API_QUOTAS = [
    Row("GET", "api-quota-list"),
    Row("GET", "api-quota-detail", 200, QuotaNode, "view", "place", _place),
    Row(
        "PATCH", "api-quota-detail", 200, QuotaNode, "manage", "place", _place,
        lambda _world: {"limits": {"cpu": "8"}, "reason": "x"},
    ),
    Row("POST", "api-quota-what-if", operators=True, data=_another_limit, but={"aud": 200}),  # it only looks
    Row("GET", "api-queue"),
    Row("GET", "api-allocation-request-list"),
    Row(
        "POST", "api-allocation-request-list", 201, QuotaNode, "request", "place", data=_more, but=_UNSEEN,
    ),
    Row("GET", "api-allocation-request-detail", 200, AllocationRequest, "view", "allocation", _allocation),
    Row("POST", "api-allocation-request-approve", 200, AllocationRequest, "decide", "allocation", _allocation),
    Row("POST", "api-allocation-request-refuse", 200, AllocationRequest, "decide", "allocation", _allocation),
    Row(
        "POST", "api-allocation-request-withdraw", 200, AllocationRequest, "withdraw", "allocation", _allocation,
        only="alice",
    ),
    Row("GET", "api-resource-list"),
    Row("POST", "api-resource-list", 201, admin_only=True, data=lambda _world: {"name": "llamas", "title": "Llamas"}),
    Row(
        "PATCH", "api-resource-detail", 200, admin_only=True, names=lambda _world: {"name": "licenses"},
        data=lambda _world: {"weight": 5},
    ),
    Row("DELETE", "api-resource-detail", 204, admin_only=True, names=lambda _world: {"name": "licenses"}),
    Row("GET", "api-priority-class-list"),
    Row("POST", "api-priority-class-list", 201, admin_only=True, data=lambda _world: {"name": "low", "rank": -1}),
    Row("GET", "api-priority-class-detail", 200, PriorityClass, "view", "cluster", _priority_class),
    Row("PATCH", "api-priority-class-detail", 200, **_OF_ADMINS, data=lambda _world: {"rank": 5}),
    Row("DELETE", "api-priority-class-detail", 204, **_OF_ADMINS),
]  # fmt: skip


_MODEL_ID = _by_id(_model)


def _api_version(world: World) -> dict[str, Any]:
    return {**_MODEL_ID(world), "version": "1"}


def _api_model(
    method: str, route: str, ok: int = 200, action: str = "view", names: Names = _MODEL_ID, **data: Any
) -> Row:
    return _on_model(method, f"api-{route}", ok, action, names, **data)


_ENVIRONMENT_ID = _by_id(_environment)


def _api_environment_version(world: World) -> dict[str, Any]:
    return {**_ENVIRONMENT_ID(world), "number": "1"}


def _api_environment(
    method: str, route: str, ok: int = 200, action: str = "view", names: Names = _ENVIRONMENT_ID, **data: Any
) -> Row:
    return _on_environment(method, f"api-environment{route}", ok, action, names, **data)


API_ENVIRONMENTS = [
    Row("GET", "api-environment-list"),
    Row("POST", "api-environment-list", 201, scope="environment:create", data=lambda _world: {"name": "new"}),
    _api_environment("GET", "-detail"),
    _api_environment("PATCH", "-detail", 200, "edit", description="x"),
    _api_environment("DELETE", "-detail", 204, "delete"),
    _api_environment("GET", "-history"),
    _api_environment("GET", "-version-list"),
    _api_environment("POST", "-version-list", 201, "edit", packages="six"),
    _api_environment("GET", "-version", names=_api_environment_version),
    Row(
        "POST", "api-environment-build", 202, EnvironmentVersion, "build", "environment", _api_environment_version,
    ),
    _api_environment(
        "GET", "-build-log", names=lambda world: {**_api_environment_version(world), "cluster": "fake"}
    ),
]  # fmt: skip


API_MODELS = [
    Row("GET", "api-model-list"),
    Row("POST", "api-model-list", 201, scope="model:create", data=lambda _world: {"name": "new"}),
    _api_model("GET", "model-detail"),
    _api_model("PATCH", "model-detail", 200, "edit", description="x"),
    _api_model("DELETE", "model-detail", 204, "delete"),
    _api_model("GET", "model-history"),
    _api_model("GET", "model-moves"),
    Row("GET", "api-model-pointed", 200, RegisteredModel, "view", "model", _MODEL_ID, query="?alias=beta"),
    Row("GET", "api-model-compare", 200, RegisteredModel, "view", "model", _MODEL_ID, query="?version=1&version=2"),
    _api_model("PUT", "model-alias", 200, "move", lambda world: {**_MODEL_ID(world), "alias": "beta"}, version="2"),
    _api_model("DELETE", "model-alias", 204, "move", lambda world: {**_MODEL_ID(world), "alias": "beta"}),
    _api_model("GET", "model-protections"),
    _api_model("POST", "model-protections", 200, "protect", name="champion"),
    _api_model(
        "DELETE", "model-protection", 204, "protect",
        lambda world: {**_MODEL_ID(world), "rule": str(world.rule_of_model.pk)},
    ),
    _api_model("POST", "model-ask", 201, "move", name="champion", version="2", reason="x"),
    Row("GET", "api-model-request-list"),
    Row("GET", "api-model-request-detail", 200, MoveRequest, "view", "model", _by_id(_move)),
    # alice asked for it herself: somebody else answers
    Row("POST", "api-model-request-approve", 200, MoveRequest, "approve", "model", _by_id(_move), but={"alice": 403}),
    Row(
        "POST", "api-model-request-refuse", 200, MoveRequest, "approve", "model", _by_id(_move), _reason,
        but={"alice": 403},
    ),
    Row("POST", "api-model-request-withdraw", 200, MoveRequest, "withdraw", "model", _by_id(_move), only="alice"),
    _api_model("GET", "version-list"),
    Row(
        "POST", "api-version-list", 201, RegisteredModel, "register", "model", _MODEL_ID,
        lambda world: {"run": str(world.ended.pk), "path": "out"},
        but={"stray": 400},  # who may register, from a run that he does not see
    ),
    _api_model("POST", "version-upload", 415, "register"),  # JSON is no archive
    _api_model("GET", "version", names=_api_version),
    _api_model("PATCH", "version", 200, "edit", _api_version, description="x"),
    _api_model("DELETE", "version", 204, "delete", _api_version),
    _api_model("POST", "version-stage", 200, "move", _api_version, stage="Staging"),
    _api_model("GET", "version-files", names=_api_version),
    _api_model("GET", "version-archive", 302, names=_api_version),
    _api_model("GET", "version-file", 302, names=lambda world: {**_api_version(world), "path": "report.txt"}),
    Row(
        "GET", "api-lineage", 200, ModelVersion, "view", "model",
        lambda world: {"kind": "modelversion", "id": str(_of_version(world)["pk"])},
    ),
]  # fmt: skip


API = [
    *API_MONEY,
    *API_MODELS,
    *API_ENVIRONMENTS,
    *PEOPLE_API,
    *API_SHARING,
    *API_QUOTAS,
    Row("GET", "api-schema", public=True),
    Row("GET", "api-spec-schema", public=True),
    Row("POST", "api-login", 400, public=True),
    Row("POST", "api-elevate", 400, scope="apitoken:create"),  # without a reason
    Row("POST", "api-password", 400, scope="user:edit"),  # without a password
    Row("GET", "api-session-list"),
    Row("DELETE", "api-session-detail", 204, UserSession, "end", "own", lambda world: {"pk": world.session.pk}),
    Row("GET", "api-me"),
    Row("GET", "api-usage"),
    Row("GET", "api-token-list"),
    Row("POST", "api-token-list", 201, scope="apitoken:create", data=lambda _world: {"name": "t"}),
    Row("GET", "api-token-detail", 200, ApiToken, "view", "own", lambda world: {"pk": world.token.pk}),
    Row(
        "PATCH", "api-token-detail", 200, ApiToken, "edit", "own", _own_token, lambda _world: {"addresses": ["10.0.0.0/8"]},
    ),
    Row("DELETE", "api-token-detail", 204, ApiToken, "revoke", "own", lambda world: {"pk": world.token.pk}),
    Row("GET", "api-team-list"),
    Row("GET", "api-team-detail", 200, Team, "view", "team", _team),
    Row("GET", "api-team-history", 200, Team, "view", "team", _team),
    Row("GET", "api-token-history", 200, ApiToken, "view", "own", lambda world: {"pk": world.token.pk}),
    Row("GET", "api-project-history", 200, Project, "view", "project", lambda world: {"id": world.project.pk}),
    Row("GET", "api-audit", operators=True),
    Row("GET", "api-audit-export", operators=True),
    _operators("GET", "rule-list"),
    _operators("POST", "rule-list", 201, data=_a_rule),
    _operators("GET", "rule-detail", names=_rule),
    _operators("PATCH", "rule-detail", names=_rule, data=lambda _world: {"role": "viewer"}),
    _operators("DELETE", "rule-detail", 204, names=_rule),
    _operators("GET", "preview"),
    _operators("GET", "sync-list"),
    _operators("POST", "sync-list", 201),
    _operators("GET", "sync-detail", names=lambda world: {"pk": world.sync.pk}),
    Row("GET", "api-cluster-list"),
    Row("GET", "api-cluster-detail", 200, Cluster, "view", "cluster", lambda world: {"name": world.cluster.name}),
    Row("GET", "api-code", 200, CodeUpload, "view", "own", _code),
    Row("PUT", "api-code", 400, scope="code:create", names=_code),  # not the bytes of that hash
    Row("GET", "api-experiment-list"),
    Row(
        "POST", "api-experiment-list", 201, scope="experiment:create",
        data=lambda _world: {"command": "true", "cluster": {"name": "fake"}},
    ),
    _operation("GET", "detail", 200, "view"),
    _operation("DELETE", "detail", 204, "delete"),
    _operation("POST", "stop", 202, "stop", _waiting),
    _operation("POST", "retry", 200, "retry"),
    Row(
        "POST", "api-experiment-clone", 201, Experiment, "clone", "ended", _by_id(_ended),
        lambda _world: {"overrides": {"team": None}}, scope="experiment:create",
    ),
    _operation("GET", "events", 200, "view"),
    _operation("GET", "attempts", 200, "view"),
    _operation("GET", "why", 200, "view"),
    _operation("GET", "history", 200, "view"),
    _operation("GET", "logs", 200, "logs"),
    _operation("GET", "download", 200, "logs"),
    Row("GET", "api-project-list"),
    Row("POST", "api-project-list", 201, scope="project:create", data=lambda _world: {"name": "new"}),
    Row("GET", "api-project-detail", 200, Project, "view", "project", lambda world: {"id": world.project.pk}),
    Row(
        "PATCH", "api-project-detail", 200, Project, "edit", "project", lambda world: {"id": world.project.pk},
        lambda _world: {"description": "x"},
    ),
    Row("DELETE", "api-project-detail", 409, Project, "delete", "project", lambda world: {"id": world.project.pk}),
    Row("GET", "api-saved-view-list"),
    Row(
        "POST", "api-saved-view-list", 400, scope="savedview:create", data=lambda _world: {"name": "v", "project": str(uuid4())},
    ),  # no such project
    Row("GET", "api-saved-view-detail", 200, SavedView, "view", "view", lambda world: {"id": world.view.pk}),
    Row(
        "PATCH", "api-saved-view-detail", 200, SavedView, "edit", "view", lambda world: {"id": world.view.pk},
        lambda _world: {"name": "renamed"},
    ),
    Row("DELETE", "api-saved-view-detail", 204, SavedView, "delete", "view", lambda world: {"id": world.view.pk}),
    Row("GET", "api-retention", 200, Project, "view", "project", lambda world: {"id": world.project.pk}),
    Row("PUT", "api-retention", 200, Project, "delete", "project", lambda world: {"id": world.project.pk}),
    Row("DELETE", "api-retention", 204, Project, "delete", "project", lambda world: {"id": world.project.pk}),
    Row("GET", "api-credential-list"),
    Row("POST", "api-credential-list", 201, scope="credential:create", data=lambda _world: _NEW_CREDENTIAL),
    _on_credential("GET", "detail", 200, "view"),
    _on_credential("PATCH", "detail", 200, "edit", {"description": "x"}),
    _on_credential("DELETE", "detail", 204, "delete"),
    _on_credential("POST", "replace", 200, "replace", {"values": {"token": "another-token"}}),
    _on_credential("GET", "uses", 200, "uses"),
    Row("GET", "api-run-list"),
    Row("POST", "api-run-list", 201, scope="run:create", data=lambda _world: {"project": "default"}),
    _on_run("GET", "detail", 200, "view"),
    _on_run("DELETE", "detail", 409, "delete"),  # a job stands behind it: its experiment is what is deleted
    _on_run("POST", "finish", 409, "log", data=lambda _world: {"status": "finished"}),  # likewise
    _on_run("GET", "history", 200, "view"),
    _on_run("GET", "tensorboard", 200, "view"),
    Row("GET", "api-run-curves", query=f"?run={uuid4()}&key=loss"),
    _on_run("GET", "metrics", 200, "view", query="?key=loss"),
    _on_run("POST", "log-batch", 200, "log", data=lambda _world: {"params": {"a": "b"}}, token_only=True),
    Row("GET", "api-artifacts", 200, Run, "view", "ended", _by_id(_ended)),
    Row("GET", "api-artifact", 302, Artifact, "view", "ended", _file),
    Row("PUT", "api-artifact", 200, Artifact, "log", "ended", _file),
    Row("DELETE", "api-artifact", 204, Artifact, "delete", "ended", _file),
    Row("PATCH", "api-artifact", 200, Artifact, "log", "ended", _file, lambda _world: {"is_pinned": True}),
    Row("POST", "api-uploads", 201, Run, "log", "ended", _by_id(_ended), _promised),
    Row("GET", "api-upload", 200, Upload, "view", "ended", _by_id(_sending), but=NOT_HIS),
    Row("DELETE", "api-upload", 204, Upload, "log", "ended", _by_id(_sending), but=NOT_HIS),
    Row(
        "POST", "api-upload-links", 409, Upload, "log", "ended", _by_id(_sending), lambda _world: {"parts": [1]},
        but=NOT_HIS,
    ),  # it is complete
    Row("POST", "api-upload-complete", 200, Upload, "log", "ended", _by_id(_sending), but=NOT_HIS),
]  # fmt: skip
