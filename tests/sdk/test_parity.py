"""Everything the API offers is offered by the Python client and by the command line, or stands here with a reason.

The document `docs/api/openapi.yml` is the platform's; each of its operations needs a line in `OPERATIONS`. A line names
the client's method and the command, and says how to call the method: the call is made, and must arrive at exactly that
route.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from fathom.cli import cli
from fathom.client import Client
from tests.sdk.stub_platform import Answer, StubPlatform

DOCUMENT = Path(__file__).parents[2] / "docs" / "api" / "openapi.yml"
VERBS = {"get", "post", "put", "patch", "delete"}
ID = "0199aaaa-0000-7000-8000-000000000001"
REF = f"sha256:{'ab' * 32}"

ACCOUNTS = "/api/v2/teams/{}/service-accounts/"


@dataclass(frozen=True)
class Operation:
    route: str
    """Method and path, with {} for every parameter."""
    command: str
    """The command line's words; or why there is none, after a `-`."""
    call: Callable[[Client], Any]


def _history(kind: Any, client: Client) -> Any:
    return list(client.audit.history(kind, ID))


def _upload(client: Client) -> Any:
    Path("weights.bin").write_bytes(b"weights")
    return client.models.upload(ID, "weights.bin")


_MODEL = "/api/v2/models/{}/"
_ENVIRONMENT = "/api/v2/environments/{}/"
_ENVIRONMENTS: list[tuple[str, str, Callable[[Client], Any]]] = [
    ("GET /api/v2/environments/", "env list", lambda c: list(c.environments.list(q="sk"))),
    ("POST /api/v2/environments/", "env create", lambda c: c.environments.create("sk", packages="six")),
    (f"GET {_ENVIRONMENT}", "env show", lambda c: c.environments.get(ID)),
    (f"PATCH {_ENVIRONMENT}", "env update", lambda c: c.environments.update(ID, description="x")),
    (f"DELETE {_ENVIRONMENT}", "env delete", lambda c: c.environments.delete(ID)),
    (f"GET {_ENVIRONMENT}versions/", "env versions", lambda c: list(c.environments.versions(ID))),
    (f"POST {_ENVIRONMENT}versions/", "env add", lambda c: c.environments.add(ID, packages="six")),
    (f"GET {_ENVIRONMENT}versions/{{}}/", "env show", lambda c: c.environments.version(ID, 1)),
    (f"POST {_ENVIRONMENT}versions/{{}}/builds/", "env build", lambda c: c.environments.build(ID, 1)),
    (f"GET {_ENVIRONMENT}versions/{{}}/builds/{{}}/", "env log", lambda c: c.environments.build_of(ID, 1, "local")),
]
_MODELS: list[tuple[str, str, Callable[[Client], Any]]] = [
    ("GET /api/v2/models/", "model list", lambda c: list(c.models.list(q="d"))),
    ("POST /api/v2/models/", "model create", lambda c: c.models.create("digits")),
    (f"GET {_MODEL}", "model show", lambda c: c.models.get(ID)),
    (f"PATCH {_MODEL}", "model update", lambda c: c.models.update(ID, tags={"a": None})),
    (f"DELETE {_MODEL}", "model delete", lambda c: c.models.delete(ID)),
    (f"GET {_MODEL}moves/", "model moves", lambda c: list(c.models.moves(ID))),
    (f"GET {_MODEL}pointed/", "model was", lambda c: c.models.pointed_to(ID, "champion")),
    (f"GET {_MODEL}compare/", "model compare", lambda c: c.models.compare(ID, 1, 2)),
    (f"PUT {_MODEL}aliases/{{}}/", "model alias", lambda c: c.models.set_alias(ID, "champion", 1)),
    (f"DELETE {_MODEL}aliases/{{}}/", "model unalias", lambda c: c.models.remove_alias(ID, "champion")),
    (f"GET {_MODEL}protections/", "model rules", lambda c: c.models.rules(ID)),
    (f"POST {_MODEL}protections/", "model protect", lambda c: c.models.protect(ID, "champion", approvals=2)),
    (f"DELETE {_MODEL}protections/{{}}/", "model unprotect", lambda c: c.models.unprotect(ID, ID)),
    (f"POST {_MODEL}requests/", "model request", lambda c: c.models.request_move(ID, "champion", 1, reason="x")),
    (f"POST {_MODEL}uploads/", "model register", _upload),
    (f"GET {_MODEL}versions/", "model versions", lambda c: list(c.models.versions(ID))),
    (f"POST {_MODEL}versions/", "model register", lambda c: c.models.register_run(ID, ID, "model")),
    (f"GET {_MODEL}versions/{{}}/", "model version", lambda c: c.models.version(ID, "latest")),
    (
        f"PATCH {_MODEL}versions/{{}}/",
        "model update-version",
        lambda c: c.models.update_version(ID, 1, description="x"),
    ),
    (f"DELETE {_MODEL}versions/{{}}/", "model delete-version", lambda c: c.models.delete_version(ID, 1)),
    (f"POST {_MODEL}versions/{{}}/stage/", "model stage", lambda c: c.models.set_stage(ID, 1, "Staging")),
    (f"GET {_MODEL}versions/{{}}/files/", "model files", lambda c: list(c.models.files(ID, 1))),
    (f"GET {_MODEL}versions/{{}}/files/{{}}", "model get", lambda c: c.models.get_file(ID, 1, "a/b", "b")),
    (f"GET {_MODEL}versions/{{}}/archive/", "model download", lambda c: list(c.models.download(ID, 1, "out"))),
    ("GET /api/v2/model-requests/", "model requests", lambda c: list(c.models.requests(state="open"))),
    ("GET /api/v2/model-requests/{}/", "model show-request", lambda c: c.models.request(ID)),
    ("POST /api/v2/model-requests/{}/approve/", "model approve", lambda c: c.models.approve(ID)),
    ("POST /api/v2/model-requests/{}/refuse/", "model refuse", lambda c: c.models.refuse(ID, reason="x")),
    ("POST /api/v2/model-requests/{}/withdraw/", "model withdraw", lambda c: c.models.withdraw(ID)),
    ("GET /api/v2/lineage/{}/{}/", "lineage", lambda c: c.models.lineage("run", ID)),
]

OPERATIONS = [
    Operation("GET /api/v2/me/", "whoami", lambda c: c.me()),
    Operation("POST /api/v2/auth/login/", "login", lambda c: c.login("alice", "correct", name="x")),
    Operation("POST /api/v2/auth/elevate/", "elevate", lambda c: c.elevate("correct", reason="why")),
    Operation("POST /api/v2/auth/password/", "password", lambda c: c.change_password("correct", "another")),
    Operation("GET /api/v2/sessions/", "sessions list", lambda c: list(c.sessions.list())),
    Operation("DELETE /api/v2/sessions/{}/", "sessions end", lambda c: c.sessions.end(ID)),
    Operation("GET /api/v2/tokens/", "token list", lambda c: list(c.tokens.list())),
    Operation("POST /api/v2/tokens/", "token create", lambda c: c.tokens.create("ci")),
    Operation("GET /api/v2/tokens/{}/", "token show", lambda c: c.tokens.get("tok-2")),
    Operation("PATCH /api/v2/tokens/{}/", "token update", lambda c: c.tokens.update("tok-2", addresses=["10.0.0.0/8"])),
    Operation("DELETE /api/v2/tokens/{}/", "token revoke", lambda c: c.tokens.revoke("tok-2")),
    Operation("GET /api/v2/credentials/", "credentials list", lambda c: list(c.credentials.list(usable=True))),
    Operation(
        "POST /api/v2/credentials/",
        "credentials create",
        lambda c: c.credentials.create("g", "generic", {"value": "sesame-1"}, team=None),
    ),
    Operation("GET /api/v2/credentials/{}/", "credentials show", lambda c: c.credentials.get(ID)),
    Operation("PATCH /api/v2/credentials/{}/", "credentials update", lambda c: c.credentials.update(ID, name="h")),
    Operation("DELETE /api/v2/credentials/{}/", "credentials delete", lambda c: c.credentials.delete(ID)),
    Operation(
        "POST /api/v2/credentials/{}/replace/",
        "credentials replace",
        lambda c: c.credentials.replace(ID, {"value": "sesame-2"}),
    ),
    Operation("GET /api/v2/credentials/{}/uses/", "credentials uses", lambda c: list(c.credentials.uses(ID))),
    Operation("GET /api/v2/directory/rules/", "directory rules list", lambda c: list(c.directory.rules())),
    Operation("POST /api/v2/directory/rules/", "directory rules create", lambda c: c.directory.create_rule("g")),
    Operation("GET /api/v2/directory/rules/{}/", "directory rules show", lambda c: c.directory.rule(1)),
    Operation("PATCH /api/v2/directory/rules/{}/", "directory rules update", lambda c: c.directory.update_rule(1)),
    Operation("DELETE /api/v2/directory/rules/{}/", "directory rules delete", lambda c: c.directory.delete_rule(1)),
    Operation("GET /api/v2/directory/preview/", "directory preview", lambda c: c.directory.preview()),
    Operation("POST /api/v2/directory/sync/", "directory sync", lambda c: c.directory.sync()),
    Operation("GET /api/v2/directory/sync/", "directory syncs", lambda c: list(c.directory.syncs())),
    Operation("GET /api/v2/directory/sync/{}/", "directory syncs", lambda c: c.directory.sync_result(1)),
    Operation("POST /api/v2/tokens/{}/rotate/", "tokens rotate", lambda c: c.tokens.rotate("tok-2")),
    Operation("GET /api/v2/teams/", "teams list", lambda c: list(c.teams.list())),
    Operation("POST /api/v2/teams/", "teams create", lambda c: c.teams.create("t", name="T", organization="o")),
    Operation("GET /api/v2/teams/{}/", "teams show", lambda c: c.teams.get("vision")),
    Operation("PATCH /api/v2/teams/{}/", "teams update", lambda c: c.teams.update("vision", name="Sight")),
    Operation("PUT /api/v2/teams/{}/members/{}/", "teams members add", lambda c: c.teams.set_member("v", "b", role="viewer")),
    Operation("DELETE /api/v2/teams/{}/members/{}/", "teams members remove", lambda c: c.teams.remove_member("v", "b")),
    Operation(f"GET {ACCOUNTS}", "teams service-accounts list", lambda c: list(c.service_accounts.list("v"))),
    Operation(f"POST {ACCOUNTS}", "teams service-accounts create", lambda c: c.service_accounts.create("v", "ci")),
    Operation(f"GET {ACCOUNTS}{{}}/", "teams service-accounts show", lambda c: c.service_accounts.get("v", "ci")),
    Operation(
        f"PATCH {ACCOUNTS}{{}}/", "teams service-accounts update",
        lambda c: c.service_accounts.update("v", "ci", is_active=False),
    ),
    Operation(
        f"POST {ACCOUNTS}{{}}/tokens/", "teams service-accounts token",
        lambda c: c.service_accounts.create_token("v", "ci", "t", addresses=["10.0.0.0/8"]),
    ),
    Operation("GET /api/v2/organizations/", "organizations list", lambda c: list(c.organizations.list())),
    Operation("POST /api/v2/organizations/", "organizations create", lambda c: c.organizations.create("o", name="O")),
    Operation("GET /api/v2/organizations/{}/", "organizations show", lambda c: c.organizations.get("o")),
    Operation("PATCH /api/v2/organizations/{}/", "organizations update", lambda c: c.organizations.update("o", name="P")),
    Operation("GET /api/v2/users/", "users list", lambda c: list(c.users.list(q="a"))),
    Operation("POST /api/v2/users/", "users create", lambda c: c.users.create("a", email="a@example.org")),
    Operation("GET /api/v2/users/{}/", "users show", lambda c: c.users.get("a")),
    Operation("PATCH /api/v2/users/{}/", "users update", lambda c: c.users.update("a", first_name="A")),
    Operation("POST /api/v2/users/{}/disable/", "users disable", lambda c: c.users.disable("a", reason="x")),
    Operation("POST /api/v2/users/{}/enable/", "users enable", lambda c: c.users.enable("a", reason="x")),
    Operation("POST /api/v2/users/{}/offboard/", "users offboard", lambda c: c.users.offboard("a", reason="x", dry_run=True)),
    Operation("POST /api/v2/users/import/", "users import", lambda c: c.users.import_csv("username\na\n", dry_run=True)),
    Operation("GET /api/v2/registrations/", "registrations list", lambda c: list(c.registrations.list(waiting=True))),
    Operation("GET /api/v2/registrations/{}/", "registrations show", lambda c: c.registrations.get(ID)),
    Operation(
        "POST /api/v2/registrations/{}/approve/", "registrations approve",
        lambda c: c.registrations.approve(ID, reason="x"),
    ),
    Operation(
        "POST /api/v2/registrations/{}/reject/", "registrations reject",
        lambda c: c.registrations.reject(ID, reason="x"),
    ),
    Operation("GET /api/v2/invitations/", "invitations list", lambda c: list(c.invitations.list())),
    Operation("POST /api/v2/invitations/", "invitations create", lambda c: c.invitations.create({"vision": "member"})),
    Operation("GET /api/v2/invitations/{}/", "invitations show", lambda c: c.invitations.get(ID)),
    Operation("DELETE /api/v2/invitations/{}/", "invitations revoke", lambda c: c.invitations.revoke(ID)),
    Operation("GET /api/v2/projects/", "projects list", lambda c: list(c.projects.list())),
    Operation("POST /api/v2/projects/", "projects create", lambda c: c.projects.create("p")),
    Operation("GET /api/v2/projects/{}/", "projects show", lambda c: c.projects.get(ID)),
    Operation("PATCH /api/v2/projects/{}/", "projects update", lambda c: c.projects.update(ID, name="q")),
    Operation("DELETE /api/v2/projects/{}/", "projects delete", lambda c: c.projects.delete(ID)),
    Operation("GET /api/v2/code/{}/", "run", lambda c: c.code.find(REF)),
    Operation("PUT /api/v2/code/{}/", "run", lambda c: c.code.put(REF, Path(__file__))),
    Operation("GET /api/v2/experiments/", "list", lambda c: list(c.experiments.list())),
    Operation("POST /api/v2/experiments/", "run", lambda c: c.experiments.create({"command": "true"})),
    Operation("GET /api/v2/experiments/{}/", "show", lambda c: c.experiments.get(ID)),
    Operation("DELETE /api/v2/experiments/{}/", "delete", lambda c: c.experiments.delete(ID)),
    Operation("POST /api/v2/experiments/{}/stop/", "stop", lambda c: c.experiments.stop(ID)),
    Operation("POST /api/v2/experiments/{}/retry/", "retry", lambda c: c.experiments.retry(ID)),
    Operation("POST /api/v2/experiments/{}/clone/", "clone", lambda c: c.experiments.clone(ID)),
    Operation("GET /api/v2/experiments/{}/events/", "events", lambda c: list(c.experiments.events(ID))),
    Operation("GET /api/v2/experiments/{}/attempts/", "events", lambda c: list(c.experiments.attempts(ID))),
    Operation("GET /api/v2/experiments/{}/logs/", "logs", lambda c: c.experiments.log_chunk(ID)),
    Operation("GET /api/v2/experiments/{}/logs/download/", "logs", lambda c: c.experiments.download_log(ID, "log")),
    Operation("GET /api/v2/runs/", "runs list", lambda c: list(c.runs.list())),
    Operation("POST /api/v2/runs/", "runs create", lambda c: c.runs.create()),
    Operation("GET /api/v2/runs/{}/", "runs show", lambda c: c.runs.get(ID)),
    Operation("DELETE /api/v2/runs/{}/", "runs delete", lambda c: c.runs.delete(ID)),
    Operation("POST /api/v2/runs/{}/finish/", "runs finish", lambda c: c.runs.finish(ID)),
    Operation("POST /api/v2/runs/{}/log-batch/", "runs log", lambda c: c.runs.log_batch(ID, {"params": {"a": "1"}})),
    Operation("GET /api/v2/runs/{}/metrics/", "metrics", lambda c: c.runs.metrics(ID)),
    Operation("GET /api/v2/runs/curves/", "- one run at a time: metrics", lambda c: c.runs.curves([ID], ["loss"])),
    Operation("GET /api/v2/runs/{}/tensorboard/", "- the metrics page draws them", lambda c: c.runs.tensorboard(ID)),
    Operation("GET /api/v2/runs/{}/artifacts/", "artifacts list", lambda c: list(c.runs.artifacts(ID))),
    Operation("GET /api/v2/runs/{}/artifacts/{}", "artifacts get", lambda c: c.runs.get_artifact(ID, "a/b", "file")),
    Operation("PUT /api/v2/runs/{}/artifacts/{}", "artifacts put", lambda c: c.runs.put_artifact(ID, __file__, "a/b")),
    Operation("PATCH /api/v2/runs/{}/artifacts/{}", "artifacts pin", lambda c: c.runs.pin_artifact(ID, "a/b")),
    Operation(
        "POST /api/v2/runs/{}/uploads/", "artifacts put", lambda c: c.uploads.begin(ID, "a", size_bytes=1, sha256="0" * 64)
    ),
    Operation("GET /api/v2/uploads/{}/", "artifacts put", lambda c: c.uploads.get(ID)),
    Operation("DELETE /api/v2/uploads/{}/", "artifacts put", lambda c: c.uploads.abort(ID)),
    Operation("POST /api/v2/uploads/{}/links/", "artifacts put", lambda c: c.uploads.links(ID, [1])),
    Operation("POST /api/v2/uploads/{}/complete/", "artifacts put", lambda c: c.uploads.complete(ID)),
    Operation("GET /api/v2/saved-views/", "projects views", lambda c: list(c.views.list(project=ID))),
    Operation("POST /api/v2/saved-views/", "- a table is arranged and kept where it is seen", lambda c: c.views.create(ID, "v")),
    Operation("GET /api/v2/saved-views/{}/", "- the list tells all of it", lambda c: c.views.get(ID)),
    Operation("PATCH /api/v2/saved-views/{}/", "- as it is made", lambda c: c.views.update(ID, name="w")),
    Operation("DELETE /api/v2/saved-views/{}/", "- as it is made", lambda c: c.views.delete(ID)),
    Operation("GET /api/v2/projects/{}/retention/", "projects retention", lambda c: c.projects.retention(ID)),
    Operation("PUT /api/v2/projects/{}/retention/", "projects retention", lambda c: c.projects.set_retention(ID)),
    Operation("DELETE /api/v2/projects/{}/retention/", "projects retention", lambda c: c.projects.end_retention(ID)),
    Operation("DELETE /api/v2/runs/{}/artifacts/{}", "artifacts delete", lambda c: c.runs.delete_artifact(ID, "a/b")),
    Operation("GET /api/v2/access/{}/{}/", "access list", lambda c: c.access.get("run", ID)),
    Operation("PATCH /api/v2/access/{}/{}/", "access visibility", lambda c: c.access.set_visibility("run", ID, "team")),
    Operation("GET /api/v2/access/{}/{}/why/", "access why", lambda c: c.access.why("run", ID, user="bob")),
    Operation("POST /api/v2/access/{}/{}/owner/", "access transfer", lambda c: c.access.transfer("run", ID, "bob")),
    Operation("POST /api/v2/access/{}/{}/requests/", "access request", lambda c: c.access.request("run", ID)),
    Operation(
        "PUT /api/v2/access/{}/{}/shares/{}/{}/", "share", lambda c: c.access.share("run", ID, "viewer", user="bob")
    ),
    Operation(
        "DELETE /api/v2/access/{}/{}/shares/{}/{}/", "unshare", lambda c: c.access.unshare("run", ID, team="vision")
    ),
    Operation("GET /api/v2/access/requests/", "access requests", lambda c: list(c.access.requests(mine=True))),
    Operation("GET /api/v2/access/requests/{}/", "access requests", lambda c: c.access.get_request(ID)),
    Operation("POST /api/v2/access/requests/{}/grant/", "access grant", lambda c: c.access.grant(ID)),
    Operation("POST /api/v2/access/requests/{}/refuse/", "access refuse", lambda c: c.access.refuse(ID)),
    Operation("POST /api/v2/access/requests/{}/withdraw/", "access withdraw", lambda c: c.access.withdraw(ID)),
    Operation("GET /api/v2/clusters/", "clusters", lambda c: list(c.clusters.list())),
    Operation("GET /api/v2/clusters/{}/", "clusters", lambda c: c.clusters.get("local")),
    Operation("GET /api/v2/quotas/", "quota list", lambda c: list(c.quotas.list(kind="team"))),
    Operation("GET /api/v2/quotas/{}/", "quota show", lambda c: c.quotas.get(12)),
    Operation("PATCH /api/v2/quotas/{}/", "quota set", lambda c: c.quotas.update(12, reason="x", limits={"cpu": "8"})),
    Operation("POST /api/v2/quotas/what-if/", "quota what-if", lambda c: c.quotas.what_if([("team:7", "cpu", None)])),
    Operation("GET /api/v2/queue/", "queue", lambda c: list(c.queue.list())),
    Operation("GET /api/v2/experiments/{}/why/", "why", lambda c: c.experiments.why(ID)),
    Operation("GET /api/v2/allocation-requests/", "quota requests", lambda c: list(c.allocations.list(to_decide=True))),
    Operation("GET /api/v2/allocation-requests/{}/", "quota requests", lambda c: c.allocations.get(ID)),
    Operation(
        "POST /api/v2/allocation-requests/", "quota request",
        lambda c: c.allocations.create("team:7", "gpu", "16", reason="x"),
    ),
    Operation("POST /api/v2/allocation-requests/{}/approve/", "quota approve", lambda c: c.allocations.approve(ID)),
    Operation("POST /api/v2/allocation-requests/{}/refuse/", "quota refuse", lambda c: c.allocations.refuse(ID)),
    Operation("POST /api/v2/allocation-requests/{}/withdraw/", "quota withdraw", lambda c: c.allocations.withdraw(ID)),
    Operation("GET /api/v2/priority-classes/", "quota classes list", lambda c: list(c.priority_classes.list())),
    Operation("POST /api/v2/priority-classes/", "quota classes create", lambda c: c.priority_classes.create("a", 5)),
    Operation("GET /api/v2/priority-classes/{}/", "quota classes show", lambda c: c.priority_classes.get("a")),
    Operation(
        "PATCH /api/v2/priority-classes/{}/", "quota classes update", lambda c: c.priority_classes.update("a", rank=6)
    ),
    Operation("DELETE /api/v2/priority-classes/{}/", "quota classes delete", lambda c: c.priority_classes.delete("a")),
    Operation("GET /api/v2/resources/", "quota resources list", lambda c: c.resources.list()),
    Operation("POST /api/v2/resources/", "quota resources create", lambda c: c.resources.create("seats", "Seats")),
    Operation("PATCH /api/v2/resources/{}/", "quota resources update", lambda c: c.resources.update("seats", weight=1)),
    Operation("DELETE /api/v2/resources/{}/", "quota resources delete", lambda c: c.resources.delete("seats")),
    Operation("GET /api/v2/usage/", "usage", lambda c: c.usage()),
    Operation("GET /api/v2/audit/", "audit list", lambda c: list(c.audit.list(actor="alice"))),
    Operation("GET /api/v2/audit/export/", "audit export", lambda c: c.audit.export("audit.csv", form="csv")),
    Operation("GET /api/v2/budgets/", "budget list", lambda c: list(c.budgets.list())),
    Operation(
        "POST /api/v2/budgets/", "budget set",
        lambda c: c.budgets.create("team:v", cadence="month", policy="reserve", amount_micros=5),
    ),
    Operation("GET /api/v2/budgets/{}/", "budget show", lambda c: c.budgets.get(1)),
    Operation("PATCH /api/v2/budgets/{}/", "budget change", lambda c: c.budgets.update(1, reason="x", amount_micros=6)),
    Operation("POST /api/v2/budgets/{}/end/", "budget end", lambda c: c.budgets.end(1, reason="x")),
    Operation("GET /api/v2/prices/", "budget prices", lambda c: list(c.budgets.prices(cluster="local"))),
    Operation("POST /api/v2/prices/", "budget set-price", lambda c: c.budgets.set_price("local", "cpu", 5)),
    Operation("GET /api/v2/ledger/", "budget ledger", lambda c: list(c.budgets.ledger(key="fth-1"))),
    Operation("GET /api/v2/ledger/{}/", "budget ledger", lambda c: c.budgets.posting(ID)),
    Operation("POST /api/v2/ledger/{}/reverse/", "budget reverse", lambda c: c.budgets.reverse(ID, reason="x")),
    Operation("GET /api/v2/costs/", "budget costs", lambda c: c.budgets.costs("team")),
    Operation("GET /api/v2/statement/", "budget statement", lambda c: c.budgets.statement(node=1)),
    *(
        Operation(f"GET /api/v2/{kind}/{{}}/history/", "audit history", partial(_history, kind))
        for kind in ("environments", "experiments", "models", "projects", "runs", "teams", "tokens")
    ),
    *(Operation(route, command, call) for route, command, call in (*_MODELS, *_ENVIRONMENTS)),
    Operation("GET /api/v2/spec-schema/", "- for editors and forms, not for people", lambda c: c.spec_schema()),
    Operation("GET /api/v2/schema/", "- for generators, not for people", lambda c: c.api_schema()),
]  # fmt: skip


def commands(group: click.Group, words: tuple[str, ...] = ()) -> set[str]:
    context = click.Context(group)
    found = set()
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        path = (*words, name)
        found |= commands(command, path) if isinstance(command, click.Group) else {" ".join(path)}
    return found


def test_every_operation_of_the_api_has_a_line() -> None:
    document = yaml.safe_load(DOCUMENT.read_text(encoding="utf-8"))
    offered = {
        f"{verb.upper()} {re.sub(r'{[^}]*}', '{}', path)}": operation.get("operationId", "")
        for path, item in document["paths"].items()
        for verb, operation in item.items()
        if verb in VERBS
    }
    known = {operation.route for operation in OPERATIONS}
    missing = [f"{route} ({name})" for route, name in sorted(offered.items()) if route not in known]
    assert missing == []


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.route)
def test_client_method_calls_its_route(
    platform: StubPlatform, client: Client, operation: Operation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # what is downloaded lands there
    platform.add_experiment(id=ID, state="succeeded")
    platform.artifacts[ID, "a/b"] = b"x"
    platform.code[REF] = b"x"
    if operation.route.startswith("PUT /api/v2/code/"):
        platform.fail("PUT", "/code/", Answer(200, {"ref": REF}))  # the stub would check the hash
    operation.call(client)
    sent = platform.requests[0]
    pattern = re.escape(operation.route).replace(r"\{\}", ".+" if operation.route.endswith("{}") else "[^/]+")
    assert re.fullmatch(pattern, f"{sent.method} {sent.path}"), f"{sent.method} {sent.path}"


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.route)
def test_command_exists(operation: Operation) -> None:
    if not operation.command.startswith("-"):
        assert operation.command in commands(cli)
    else:
        assert len(operation.command.split()) > 2, "a missing command needs a reason"
