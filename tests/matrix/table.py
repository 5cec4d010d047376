"""The table of routes: what each one does to which object, and what it answers when that is allowed.

What is *expected of whom* is not here: it follows from the policies and from the roles in `world`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Model

from apps.accounts.models import ApiToken
from apps.compute.models import Cluster
from apps.experiments.models import CodeUpload, Experiment
from apps.teams.models import Membership, Team
from apps.tracking.models import Artifact, Project, Run
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
    token_only: bool = False  # a session is nobody here
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


def _team(world: World) -> dict[str, Any]:
    return {"slug": world.cast.team.slug}


def _page(name: str, action: str = "view") -> Row:
    return Row("GET", name, 200, Experiment, action, "ended", _ended)


def _act(name: str, action: str, on: Names) -> Row:
    return Row("POST", name, 302, Experiment, action, _role(on), on)


def _role(names: Names) -> str:
    return "waiting" if names is _waiting else "ended"


PAGES = [
    Row("GET", "login", 200, public=True, inside=302),
    Row("POST", "login", 400, public=True),  # nothing was typed
    Row("GET", "setup", 404, public=True, names=lambda _world: {"token": "never-was"}),
    Row("POST", "setup", 400, public=True, names=lambda _world: {"token": "never-was"}),
    Row("POST", "logout", 302),
    Row("POST", "seeing-stop", 302),
    Row("GET", "home"),
    Row("GET", "usage"),
    Row("GET", "search"),
    Row("POST", "preferences", 302),
    Row("GET", "token-list"),
    Row("POST", "token-list", 201, data=lambda _world: {"name": "t", "scope": "read", "expires_in_days": "7"}),
    Row("POST", "token-revoke", 302, ApiToken, "revoke", "own", lambda world: {"pk": world.token.pk}),
    Row("GET", "team-list"),
    Row("GET", "team", 200, Team, "view", "team", _team),
    Row(
        "POST", "team-member-add", 302, Team, "manage", "team", _team,
        lambda world: {"username": world.cast.bob.username, "role": "member"},
    ),
    Row(
        "POST", "team-member-change", 302, Membership, "manage", "team",
        lambda world: {**_team(world), "pk": world.membership.pk}, lambda _world: {"role": "viewer"},
    ),
    Row("GET", "experiment-list"),
    Row("GET", "experiment-new"),
    Row("POST", "experiment-new", 400),  # no command
    Row("POST", "experiment-preview"),
    Row("POST", "experiment-bulk", 302),
    Row("GET", "experiment-compare"),
    _page("experiment"),
    _page("experiment-metrics"),
    _page("experiment-logs", "logs"),
    _page("experiment-artifacts"),
    _page("experiment-events"),
    _page("experiment-status"),
    _page("experiment-clone", "clone"),
    Row("POST", "experiment-clone", 400, Experiment, "clone", "ended", _ended),  # no command
    _act("experiment-stop", "stop", _waiting),
    _act("experiment-retry", "retry", _ended),
    _act("experiment-delete", "delete", _ended),
]  # fmt: skip


def _operation(method: str, name: str, ok: int, action: str, on: Names = _ended) -> Row:
    return Row(method, f"api-experiment-{name}", ok, Experiment, action, _role(on), _by_id(on))


def _code(world: World) -> dict[str, Any]:
    return {"ref": f"sha256:{world.upload.sha256}"}


def _on_run(method: str, name: str, ok: int, action: str, **more: Any) -> Row:
    return Row(method, f"api-run-{name}", ok, Run, action, "ended", _by_id(_ended), **more)


def _file(world: World) -> dict[str, Any]:
    return {"id": world.ended.pk, "path": world.artifact.path}


API = [
    Row("GET", "api-schema", public=True),
    Row("GET", "api-spec-schema", public=True),
    Row("POST", "api-login", 400, public=True),
    Row("GET", "api-me"),
    Row("GET", "api-usage"),
    Row("GET", "api-token-list"),
    Row("POST", "api-token-list", 201, scope="apitoken:create", data=lambda _world: {"name": "t"}),
    Row("GET", "api-token-detail", 200, ApiToken, "view", "own", lambda world: {"pk": world.token.pk}),
    Row("DELETE", "api-token-detail", 204, ApiToken, "revoke", "own", lambda world: {"pk": world.token.pk}),
    Row("GET", "api-team-list"),
    Row("GET", "api-team-detail", 200, Team, "view", "team", _team),
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
    Row("GET", "api-run-list"),
    Row("POST", "api-run-list", 201, scope="run:create", data=lambda _world: {"project": "default"}),
    _on_run("GET", "detail", 200, "view"),
    _on_run("DELETE", "detail", 409, "delete"),  # a job stands behind it: its experiment is what is deleted
    _on_run("POST", "finish", 409, "log", data=lambda _world: {"status": "finished"}),  # likewise
    _on_run("GET", "metrics", 200, "view", query="?key=loss"),
    _on_run("POST", "log-batch", 200, "log", data=lambda _world: {"params": {"a": "b"}}, token_only=True),
    Row("GET", "api-artifacts", 200, Run, "view", "ended", _by_id(_ended)),
    Row("GET", "api-artifact", 302, Artifact, "view", "ended", _file),
    Row("PUT", "api-artifact", 200, Artifact, "log", "ended", _file),
    Row("DELETE", "api-artifact", 204, Artifact, "delete", "ended", _file),
]  # fmt: skip
