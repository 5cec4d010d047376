"""The status-code policy: the same situation, the same answer, on every route; and nothing makes it fall over."""

from typing import Any

import orjson
import pytest
from django.db import OperationalError
from rest_framework.test import APIClient

from apps.experiments.models import Experiment
from apps.quotas.models import QuotaNode
from apps.teams.models import Team
from tests.api.answers import API, NOWHERE, good, problem
from tests.api.conftest import As
from tests.factories import Stage
from tests.people import Cast

SPEC = {"command": "true", "cluster": {"name": "fake"}}
COLLECTIONS = [
    "experiments",
    "tokens",
    "teams",
    "clusters",
    "projects",
    "runs",
    "quotas",
    "allocation-requests",
    "priority-classes",
]
PUBLIC = ["schema", "spec-schema"]


@pytest.fixture
def alice(as_: As, stage: Stage) -> APIClient:
    return as_("alice")


def send(client: Any, path: str, body: bytes, content_type: str = "application/json", **headers: str) -> Any:
    """Post bytes as they are."""
    return client.generic("POST", path, body, content_type=content_type, **headers)


@pytest.mark.parametrize("path", [*COLLECTIONS, "me", "usage", "queue", "resources"])
def test_nobody_is_asked_to_log_in(as_: As, path: str) -> None:
    answer = as_().get(f"{API}/{path}/")
    problem(answer, 401, "not_authenticated")
    assert answer["WWW-Authenticate"] == 'Bearer realm="fathom"'


@pytest.mark.parametrize("path", PUBLIC)
def test_the_documentation_is_for_everybody(as_: As, path: str) -> None:
    assert good(as_().get(f"{API}/{path}/"))


@pytest.mark.parametrize("path", COLLECTIONS)
def test_what_is_not_there_is_not_found(alice: APIClient, path: str) -> None:
    for name in (NOWHERE, "nothing", "a%00b", "%ff", "'--", "१", "x" * 500, "00000000-0000-7000-8000-00000000000"):
        answer = alice.get(f"{API}/{path}/{name}/")
        assert answer.status_code in (400, 404), (name, answer.status_code)
        problem(answer, answer.status_code, {400: "invalid", 404: "not_found"}[answer.status_code])


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("put", "experiments"),
        ("patch", "experiments"),
        ("delete", "experiments"),
        ("delete", "teams"),
        ("post", "clusters"),
        ("post", "me"),
        ("get", "auth/login"),
        ("post", "usage"),
        ("options", "experiments"),
        ("options", "me"),
        ("options", "auth/login"),
        ("trace", "experiments"),
    ],
)
def test_a_method_that_is_not_there(alice: APIClient, method: str, path: str) -> None:
    answer = alice.generic(method.upper(), f"{API}/{path}/")
    problem(answer, 405, "method_not_allowed")
    assert answer["Allow"]


def test_head_is_get_without_the_body(alice: APIClient) -> None:
    answer = alice.head(f"{API}/experiments/")
    assert (answer.status_code, answer.content) == (200, b"")


@pytest.mark.parametrize(
    "content_type",
    ["text/plain", "application/xml", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "x"],
)
def test_another_media_type_is_refused(alice: APIClient, content_type: str) -> None:
    answer = send(alice, f"{API}/experiments/", b"command=true", content_type)
    problem(answer, 415, "unsupported_media_type")
    assert not Experiment.objects.exists()


def test_an_answer_in_another_form_is_not_to_be_had(alice: APIClient) -> None:
    problem(alice.get(f"{API}/me/", HTTP_ACCEPT="text/html"), 406, "not_acceptable")


BODIES: dict[str, bytes] = {
    "empty object": b"{}",
    "list": b"[]",
    "null": b"null",
    "number": b"1",
    "string": b'"x"',
    "half": b'{"command": "tr',
    "trailing": b'{"command": "true"} x',
    "single quotes": b"{'command': 'true'}",
    "NaN": b'{"command": "true", "priority": NaN}',
    "Infinity": b'{"command": "true", "resources": {"cpu": -Infinity}}',
    "1e400": b'{"command": "true", "priority": 1e400}',
    "huge integer": b'{"command": "true", "priority": %d}' % 10**300,
    "huge cpu": b'{"command": "true", "resources": {"cpu": %d}}' % 10**30,
    "NUL escaped": b'{"command": "a\\u0000b"}',
    "NUL raw": b'{"command": "a\x00b"}',
    "NUL in a key": b'{"command": "true", "tags": {"a\\u0000": "b"}}',
    "lone surrogate": b'{"command": "\\ud800"}',
    "lone low surrogate": b'{"command": "true", "name": "\\udc00"}',
    "no UTF-8": b'{"command": "\xff\xfe"}',
    "UTF-16": '{"command": "true"}'.encode("utf-16"),
    "BOM": b"\xef\xbb\xbf{}",
    "deep list 70": b'{"command": "true", "x": ' + b"[" * 70 + b"]" * 70 + b"}",
    "deep list 300": b'{"command": "true", "x": ' + b"[" * 300 + b"]" * 300 + b"}",
    "deep list 900": b'{"command": ' + b"[" * 900 + b"]" * 900 + b"}",
    "deep list 3000": b"[" * 3000 + b"]" * 3000,
    "deep object 3000": b'{"a":' * 3000 + b"1" + b"}" * 3000,
    "deep and open": b"[" * 100_000,
    "many keys": orjson.dumps({f"k{number}": 1 for number in range(5000)}),
    "command as object": b'{"command": {"a": 1}}',
    "proto": b'{"command": "true", "__class__": {"x": 1}}',
}


@pytest.mark.parametrize("key", [False, True], ids=["plain", "idempotent"])
@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_a_hostile_body_is_refused(alice: APIClient, body: bytes, key: bool) -> None:
    headers = {"HTTP_IDEMPOTENCY_KEY": "k"} if key else {}
    answer = send(alice, f"{API}/experiments/", body, "application/json", **headers)
    problem(answer, 400, "invalid")
    assert len(answer.content) < 1_000_000
    assert not Experiment.objects.exists()


@pytest.mark.parametrize(
    "path", ["experiments/{id}/clone/", "experiments/{id}/stop/", "tokens/", "auth/login/", "projects/"]
)
@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_a_hostile_body_breaks_no_other_route(
    alice: APIClient, stage: Stage, cast: Cast, path: str, body: bytes
) -> None:
    experiment = stage.submit(cast.alice)
    url = f"{API}/{path.format(id=experiment.pk)}"
    answer = send(alice, url, body, "application/json", HTTP_IDEMPOTENCY_KEY="k")
    assert answer.status_code < 500, answer.content[:300]


def test_a_body_beyond_the_limit_is_refused(alice: APIClient, settings: Any) -> None:
    body = orjson.dumps({**SPEC, "tags": {f"k{number}": "x" * 5000 for number in range(100)}, "name": "n"})
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = len(body) - 1
    answer = send(alice, f"{API}/experiments/", body, "application/json")
    problem(answer, 413, "too_large")
    assert not Experiment.objects.exists()
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = len(body)
    good(send(alice, f"{API}/experiments/", body, "application/json"), 201)


@pytest.mark.parametrize("command", ["printf '\\u0000'", "\\\\u0000", "\\" * 7 + "u0000", "✓ 😀", "a\u2028b"])
def test_what_only_looks_hostile_is_kept_as_it_is(alice: APIClient, command: str) -> None:
    body = good(alice.post(f"{API}/experiments/", {**SPEC, "command": command}), 201)
    assert body["spec"]["command"] == command


@pytest.mark.parametrize(
    "query",
    [
        "q=%00",
        "q=%ff",
        "state=%00",
        "limit=%00",
        "cursor=%00",
        "tag=%00",
        "project=%00",
        "created_after=%00",
        "%00=%00",
        "q=" + "x" * 5000,
    ],
)
@pytest.mark.parametrize("path", COLLECTIONS)
def test_a_hostile_query_breaks_nothing(alice: APIClient, path: str, query: str) -> None:
    assert alice.get(f"{API}/{path}/?{query}").status_code in (200, 400, 404)


@pytest.mark.parametrize("field", ["team", "project"])
def test_errors_do_not_tell_what_is_hidden(cast: Cast, as_: As, stage: Stage, field: str) -> None:
    stage.submit(cast.alice, team="vision", project="default")
    charlie = as_("charlie")
    known = {"team": "vision", "project": str(Experiment.objects.get().run.project_id)}[field]
    answers = [charlie.post(f"{API}/experiments/", {**SPEC, field: name}) for name in (known, NOWHERE)]
    bodies = [problem(answer, 400, "invalid") for answer in answers]
    for body in bodies:
        body.pop("request_id")
    assert bodies[0] == bodies[1]
    assert not Experiment.objects.filter(run__owner=cast.charlie).exists()


def test_filters_do_not_tell_what_is_hidden(cast: Cast, as_: As, stage: Stage) -> None:
    stage.submit(cast.alice, team="vision")
    charlie = as_("charlie")
    for query in ("team=vision", "owner=alice", "project=default", "team=nowhere"):
        assert good(charlie.get(f"{API}/experiments/?{query}")) == {"next": None, "previous": None, "results": []}


def test_a_database_that_is_away_is_said_so(alice: APIClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_args: Any, **_facts: Any) -> None:
        raise OperationalError

    monkeypatch.setattr("apps.experiments.services.submit_experiment", away)
    answer = alice.post(f"{API}/experiments/", SPEC)
    problem(answer, 503, "unavailable")
    assert answer["Retry-After"] == "2"


def test_the_request_id_of_the_caller_comes_back(alice: APIClient) -> None:
    body = problem(alice.get(f"{API}/experiments/{NOWHERE}/", HTTP_X_REQUEST_ID="my-request-1"), 404, "not_found")
    assert body["request_id"] == "my-request-1"


# --- the small routes


def test_teams(cast: Cast, as_: As) -> None:
    body = good(as_("bob").get(f"{API}/teams/vision/"))
    members = [
        {"username": name, "role": role, "is_service": False} for name, role in (("alice", "member"), ("bob", "viewer"))
    ]
    assert body["members"][:2] == members
    assert (body["slug"], body["organization"], body["role"]) == ("vision", "acme", "viewer")
    assert [row["slug"] for row in good(as_("bob").get(f"{API}/teams/"))["results"]] == ["vision"]
    assert good(as_("charlie").get(f"{API}/teams/"))["results"] == []
    for name in ("charlie", "olaf"):
        problem(as_(name).get(f"{API}/teams/vision/"), 404, "not_found")
    assert good(as_("sre").get(f"{API}/teams/vision/"))["role"] == ""
    assert Team.objects.count() == 2
    assert cast.team.slug == "vision"


def test_clusters_tell_no_settings(as_: As, stage: Stage) -> None:
    body = good(as_("charlie").get(f"{API}/clusters/fake/"))
    assert (body["name"], body["kind"], body["state"], body["is_drained"]) == ("fake", "fake", "unknown", False)
    assert "settings" not in body
    assert stage.name not in str(body)
    problem(as_("charlie").get(f"{API}/clusters/other/"), 404, "not_found")


def test_usage(cast: Cast, as_: As, stage: Stage) -> None:
    stage.plan(duration=None)
    stage.submit(cast.alice, team="vision", resources={"cpu": 2})
    stage.turn()
    body = good(as_("alice").get(f"{API}/usage/"))
    vision = next(node for node in body["nodes"] if node["kind"] == "team")
    assert vision["name"] == "Vision"
    assert vision["resources"]["cpu"] == {"used": 2000, "limit": 64_000}
    assert body["queue"] == []
    names = {node["name"] for node in good(as_("charlie").get(f"{API}/usage/"))["nodes"]}
    assert names == set()
    assert QuotaNode.objects.filter(name="Vision").exists()


def test_projects_and_runs(as_: As) -> None:
    alice, bob = as_("alice"), as_("bob")
    project = good(alice.post(f"{API}/projects/", {"name": "p", "team": "vision"}), 201)
    path = f"{API}/projects/{project['id']}/"
    assert good(bob.get(path))["name"] == "p"
    problem(bob.patch(path, {"name": "q"}), 403, "forbidden")
    problem(as_("charlie").get(path), 404, "not_found")
    assert good(alice.patch(path, {"name": "q"}))["name"] == "q"
    run = good(alice.post(f"{API}/runs/", {"project": "q", "name": "r"}), 201)
    assert (run["status"], run["experiment"]) == ("running", None)
    problem(alice.delete(path), 409, "conflict")
    good(alice.post(f"{API}/runs/{run['id']}/finish/", {"status": "finished"}))
    assert alice.delete(f"{API}/runs/{run['id']}/").status_code == 204
    assert alice.delete(path).status_code == 204
    problem(alice.get(path), 404, "not_found")
