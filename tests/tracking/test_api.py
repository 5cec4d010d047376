"""Projects and runs over the API."""

import json
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client

from apps.access import grants
from apps.access.decision import Role
from apps.experiments.services import RUN_TOKEN_SCOPES
from apps.tracking import services
from apps.tracking.models import Project, Run
from tests.people import Cast, fake_cluster, submit
from tests.tracking.conftest import client_of, client_with, log, run_token, url

PROJECTS, RUNS = "/api/v2/projects/", "/api/v2/runs/"


def post(client: Client, target: str, body: Any, **headers: str) -> Any:
    return client.post(target, json.dumps(body), content_type="application/json", headers=headers)


def names(reply: Any) -> list[str]:
    assert reply.status_code == 200, reply.content
    return [row["name"] for row in reply.json()["results"]]


def test_a_project_is_created_and_changed(cast: Cast) -> None:
    client = client_of(cast.alice)
    made = post(client, PROJECTS, {"name": " vision ", "description": "cats", "team": "vision"})
    assert made.status_code == 201, made.content
    body = made.json()
    assert (body["name"], body["description"], body["owner"], body["team"]) == ("vision", "cats", "alice", "vision")
    assert body["visibility"] == "team"
    target = f"{PROJECTS}{body['id']}/"
    changed = client.patch(target, {"name": "sight", "visibility": "public"}, content_type="application/json")
    assert (changed.status_code, changed.json()["name"], changed.json()["visibility"]) == (200, "sight", "public")
    assert client.get(target).json() == changed.json()
    assert client.delete(target).status_code == 204
    assert client.get(target).status_code == 404
    assert names(client.get(PROJECTS)) == []


def test_a_project_without_a_team_is_private(cast: Cast) -> None:
    made = post(client_of(cast.alice), PROJECTS, {"name": "own"}).json()
    assert (made["team"], made["visibility"]) == (None, "private")
    assert client_of(cast.bob).get(f"{PROJECTS}{made['id']}/").status_code == 404


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": ""},
        {"name": "x" * 121},
        {"name": None},
        {"name": "a", "visibility": "all"},
        {"name": "a", "team": "none"},
        [],
        {"name": "a", "team": "speech"},
        {"name": ["a"]},
        {"name": "a", "description": "x" * 10001},
    ],
)
def test_what_is_no_project(cast: Cast, body: Any) -> None:
    reply = post(client_of(cast.alice), PROJECTS, body)
    assert (reply.status_code, reply.json()["code"]) == (400, "invalid")
    assert not Project.objects.exists()


def test_a_projects_name_is_taken_once(cast: Cast) -> None:
    client = client_of(cast.alice)
    assert post(client, PROJECTS, {"name": "a"}).status_code == 201
    assert post(client, PROJECTS, {"name": "a"}).json()["errors"] == {"name": ["A project of this name exists."]}
    assert post(client, PROJECTS, {"name": "a", "team": "vision"}).status_code == 201


def test_a_project_with_runs_stays(cast: Cast, run: Run) -> None:
    client = client_of(cast.alice)
    target = f"{PROJECTS}{run.project_id}/"
    assert (client.delete(target).status_code, client.delete(target).json()["code"]) == (409, "conflict")
    assert client.delete(url(run)).status_code == 204
    assert client.delete(target).status_code == 204


@pytest.mark.parametrize(
    ("person", "view", "edit", "delete"),
    [
        ("alice", 200, 200, 204),
        ("bob", 200, 403, 403),
        ("charlie", 404, 404, 404),
        ("dana", 200, 200, 403),
        ("mia", 200, 200, 204),
        ("olaf", 404, 404, 404),
        ("sre", 200, 200, 204),
    ],
)
def test_who_may_do_what_with_a_project(cast: Cast, person: str, view: int, edit: int, delete: int) -> None:
    project = services.create_project("secret", by=cast.alice, team=cast.team)
    grants.grant(cast.dana, project, Role.EDITOR)
    client, target = client_of(cast.people[person]), f"{PROJECTS}{project.pk}/"
    assert client.get(target).status_code == view
    assert names(client.get(PROJECTS)) == (["secret"] if view == 200 else [])
    assert client.patch(target, {"description": "x"}, content_type="application/json").status_code == edit
    project.refresh_from_db()
    assert project.description == ("x" if edit == 200 else "")
    assert client.delete(target).status_code == delete
    project.refresh_from_db()
    assert (project.archived_at is not None) == (delete == 204)


def test_a_run_is_created_followed_and_ended(cast: Cast) -> None:
    client = client_of(cast.alice)
    made = post(client, RUNS, {"project": "default", "name": "first", "tags": {"stage": "dev"}})
    assert made.status_code == 201, made.content
    body = made.json()
    assert (body["name"], body["status"], body["owner"], body["team"]) == ("first", "running", "alice", None)
    assert (body["project"]["name"], body["tags"], body["params"], body["metrics"]) == (
        "default",
        {"stage": "dev"},
        {},
        {},
    )
    assert (body["experiment"], body["finished_at"]) == (None, None)
    assert body["created_at"].endswith("Z")
    run = Run.objects.get(pk=body["id"])
    log(run, cast.alice, (0.5, 0, 0), ("NaN", 1, 1000), params={"lr": "0.1"})
    log(run, cast.alice, ("-Infinity", 0, 0), key="worst")
    shown = client.get(url(run)).json()
    assert shown["params"] == {"lr": "0.1"}
    assert shown["metrics"] == {
        "loss": {"value": "NaN", "step": 1, "time": "1970-01-01T00:00:01.000000Z", "min": 0.5, "max": 0.5, "count": 2},
        "worst": {
            "value": "-Infinity",
            "step": 0,
            "time": "1970-01-01T00:00:00.000000Z",
            "min": "-Infinity",
            "max": "-Infinity",
            "count": 1,
        },
    }
    ended = post(client, url(run, "finish/"), {"status": "failed"})
    assert (ended.status_code, ended.json()["status"]) == (200, "failed")
    assert ended.json()["finished_at"] is not None
    assert post(client, url(run, "finish/"), {"status": "finished"}).json()["status"] == "failed"
    assert client.delete(url(run)).status_code == 204
    assert client.get(url(run)).status_code == 404
    assert post(client, url(run, "finish/"), {"status": "finished"}).status_code == 404


def test_a_run_without_a_name_gets_one(cast: Cast) -> None:
    client = client_of(cast.alice)
    first, second = (post(client, RUNS, {}).json() for _ in range(2))
    assert first["name"] != second["name"]
    assert first["project"] == second["project"]


@pytest.mark.parametrize(
    "body",
    [
        {"project": "none"},
        {"project": str(uuid4())},
        {"name": "x" * 201},
        {"tags": {"a": "x" * 32_001}},
        {"tags": []},
        {"tags": {"": "x"}},
        [],
        {"team": "speech"},
        {"visibility": "all"},
        {"project": ""},
        {"project": 1.5},
        {"name": ["x"]},
    ],
)
def test_what_is_no_run(cast: Cast, body: Any) -> None:
    reply = post(client_of(cast.alice), RUNS, body)
    assert (reply.status_code, reply.json()["code"]) == (400, "invalid")
    assert not Run.objects.exists()


def test_a_nul_is_no_character(cast: Cast) -> None:
    client = client_of(cast.alice)
    for target, body in ((RUNS, b'{"name":"a\\u0000"}'), (PROJECTS, b'{"name":"a\\u0000"}')):
        assert client.post(target, body, content_type="application/json").status_code == 400
    for query in ("q=%00", "project=%00", "tag=a%00%3Db", "status=%00", "q=" + "x" * 251):
        assert client.get(f"{RUNS}?{query}").status_code == 400, query
    for query in ("q=%00", "team=%00"):
        assert client.get(f"{PROJECTS}?{query}").status_code == 400, query


def test_a_repeat_with_the_same_key_is_one_run(cast: Cast) -> None:
    client = client_of(cast.alice)
    replies = [post(client, RUNS, {"name": "once"}, idempotency_key="k") for _ in range(2)]
    assert [reply.status_code for reply in replies] == [201, 201]
    assert replies[0].json() == replies[1].json()
    assert Run.objects.count() == 1


@pytest.mark.parametrize(
    ("person", "view", "log_", "delete"),
    [
        ("alice", 200, 200, 204),
        ("bob", 200, 403, 403),
        ("charlie", 404, 404, 404),
        ("dana", 200, 200, 403),
        ("mia", 200, 200, 204),
        ("olaf", 404, 404, 404),
        ("sre", 200, 200, 204),
    ],
)
def test_who_may_do_what_with_a_run(cast: Cast, run: Run, person: str, view: int, log_: int, delete: int) -> None:
    grants.grant(cast.dana, run, Role.EDITOR)
    log(run, cast.alice, (1, 0), key="secret")
    client = client_of(cast.people[person])
    for target in (url(run), url(run, "metrics/")):
        reply = client.get(target)
        assert reply.status_code == view
        assert (b"secret" in reply.content) == (view == 200)
    assert names(client.get(RUNS)) == (["first"] if view == 200 else [])
    assert post(client, url(run, "log-batch/"), {"tags": {person: "was here"}}).status_code == log_
    assert run.tags.filter(key=person).exists() == (log_ == 200)
    assert post(client, url(run, "finish/"), {"status": "killed"}).status_code == log_
    run.refresh_from_db()
    assert (run.status == "killed") == (log_ == 200)
    assert client.delete(url(run)).status_code == delete
    run.refresh_from_db()
    assert (run.archived_at is not None) == (delete == 204)


def test_a_jobs_token_reaches_its_run_only(cast: Cast, run: Run) -> None:
    other = services.create_run(run.project, by=cast.alice, name="other")
    client = client_with(run_token(run))
    assert client.get(url(run)).status_code == 200
    assert client.get(url(other)).status_code == 404
    assert names(client.get(RUNS)) == ["first"]
    assert names_or_none(client.get(PROJECTS)) == []
    assert post(client, RUNS, {"project": str(run.project_id)}).status_code == 403
    assert post(client, url(other, "log-batch/"), {"tags": {"a": "b"}}).status_code == 404
    assert client.delete(url(run)).status_code == 403
    assert Run.objects.filter(archived_at=None).count() == 2


def test_a_job_begins_runs_beside_its_own(cast: Cast, run: Run) -> None:
    elsewhere = services.create_project("elsewhere", by=cast.alice)
    client = client_with(run_token(run, scopes=RUN_TOKEN_SCOPES))
    made = post(client, RUNS, {"name": "trial", "tags": {"lr": "0.1"}})
    assert made.status_code == 201, made.content
    assert (made.json()["project"]["id"], made.json()["owner"]) == (str(run.project_id), "alice")
    assert Run.objects.get(pk=made.json()["id"]).made_in_id == run.pk
    assert post(client, RUNS, {"project": str(run.project_id)}).status_code == 201
    assert post(client, RUNS, {"project": str(elsewhere.pk)}).status_code == 400
    assert post(client, RUNS, {"project": "elsewhere"}).status_code == 404
    assert post(client_with(run_token(run, "2")), RUNS, {}).status_code == 403  # its token lacks the scope
    assert Run.objects.filter(project=elsewhere).count() == 0


def names_or_none(reply: Any) -> list[str]:
    return names(reply) if reply.status_code == 200 else []


def test_nobody_sees_nothing(run: Run) -> None:
    anybody = Client()
    for target in (RUNS, PROJECTS, url(run), url(run, "metrics/"), f"{PROJECTS}{run.project_id}/"):
        assert anybody.get(target).status_code == 401
    assert post(anybody, RUNS, {}).status_code == 401
    assert post(anybody, url(run, "finish/"), {"status": "killed"}).status_code == 401
    assert Run.objects.count() == 1


@pytest.mark.parametrize(
    "number", ["x", "1", "01a20b7d-0be2-71e1-b599-a279e7b1f120", "00000000-0000-0000-0000-00000000000g", "%00", "é"]
)
def test_what_is_not_there(cast: Cast, number: str) -> None:
    client = client_of(cast.alice)
    for target in (
        f"{RUNS}{number}/",
        f"{RUNS}{number}/metrics/",
        f"{RUNS}{number}/artifacts/",
        f"{PROJECTS}{number}/",
    ):
        assert client.get(target).status_code == 404, target


def test_a_jobs_run_is_its_experiments(cast: Cast) -> None:
    fake_cluster()
    experiment = submit(cast.alice, tags={"a": "b"})
    client = client_of(cast.alice)
    shown = client.get(f"{RUNS}{experiment.pk}/").json()
    assert (shown["experiment"], shown["tags"]) == (str(experiment.pk), {"a": "b"})
    assert post(client, f"{RUNS}{experiment.pk}/finish/", {"status": "finished"}).status_code == 409
    assert client.delete(f"{RUNS}{experiment.pk}/").status_code == 409


def test_lists_are_filtered(cast: Cast, run: Run) -> None:
    own = services.create_project("own", by=cast.alice)
    second = services.create_run(own, by=cast.alice, name="Second 100%", tags={"stage": "prod"})
    services.finish_run(second, "finished", by=cast.alice)
    client = client_of(cast.alice)
    expected = {
        "": ["Second 100%", "first"],
        "?q=second": ["Second 100%"],
        "?q=100%25": ["Second 100%"],
        "?q=_": [],
        "?project=own": ["Second 100%"],
        f"?project={run.project_id}": ["first"],
        f"?project={uuid4()}": [],
        "?status=running": ["first"],
        "?status=running&status=finished": ["Second 100%", "first"],
        "?tag=stage%3Dprod": ["Second 100%"],
        "?tag=stage%3Ddev": [],
        "?limit=1": ["Second 100%"],
    }
    for query, found in expected.items():
        assert names(client.get(RUNS + query)) == found, query
    assert names(client.get(f"{PROJECTS}?q=OW")) == ["own"]
    assert names(client.get(f"{PROJECTS}?team=vision")) == ["vision"]
    for query in ("?status=nope", "?tag=stage"):
        assert client.get(RUNS + query).status_code == 400, query


def test_lists_come_in_pages(cast: Cast, run: Run) -> None:
    for number in range(4):
        services.create_run(run.project, by=cast.alice, name=str(number))
    client, found, target = client_of(cast.alice), [], f"{RUNS}?limit=2"
    while target:
        page = client.get(target).json()
        found += [row["name"] for row in page["results"]]
        target = page["next"]
    assert found == ["3", "2", "1", "0", "first"]


@pytest.mark.parametrize(("target", "queries"), [(RUNS, 7), (PROJECTS, 4)])  # two of them ask what he reaches
def test_a_list_needs_as_many_queries_for_three_as_for_one(
    cast: Cast, run: Run, target: str, queries: int, django_assert_num_queries: Any
) -> None:
    client = client_of(cast.alice)
    client.get(target)
    for number in range(3):
        log(run, cast.alice, (1, 0), (1, 0), params={"a": "1", "b": "2"}, tags={"x": "y"})
        with django_assert_num_queries(queries):
            client.get(target)
        project = services.create_project(f"p{number}", by=cast.alice)
        run = services.create_run(project, by=cast.alice, name=str(number))


def test_curves_over_the_api(cast: Cast, run: Run) -> None:
    log(run, cast.alice, (0.5, 0, 1000), ("NaN", 1, 2000), ("Infinity", 2, 3000))
    log(run, cast.alice, *[(n, n, n) for n in range(50)], key="long")
    client = client_of(cast.bob)
    (curve,) = client.get(url(run, "metrics/?key=loss")).json()["series"]
    assert curve == {
        "key": "loss",
        "points": [
            [0, 1000, 0.5, 0.5, 0.5],
            [1, 2000, "NaN", None, None],
            [2, 3000, "Infinity", "Infinity", "Infinity"],
        ],
        "count": 3,
        "downsampled": False,
        "sampled": False,
    }
    both = client.get(url(run, "metrics/?points=10&x=time")).json()["series"]
    assert [(one["key"], len(one["points"]), one["downsampled"]) for one in both] == [
        ("long", 10, True),
        ("loss", 3, False),
    ]
    assert client.get(url(run, "metrics/?key=none")).json() == {"series": []}


@pytest.mark.parametrize(
    "query", ["points=0", "points=2", "points=10001", "points=x", "points=-5", "points=1e3", "x=epoch", "key=%00"]
)
def test_curves_that_cannot_be_asked(cast: Cast, run: Run, query: str) -> None:
    assert client_of(cast.alice).get(url(run, f"metrics/?{query}")).status_code == 400


def test_other_methods_are_refused(cast: Cast, run: Run) -> None:
    client = client_of(cast.alice)
    for method, target in (
        ("PUT", url(run)),
        ("GET", url(run, "log-batch/")),
        ("POST", url(run, "metrics/")),
        ("POST", url(run, "artifacts/")),
    ):
        reply = client.generic(method, target, b"{}", "application/json")
        assert (reply.status_code, reply.json()["code"]) == (405, "method_not_allowed"), target


def test_a_run_with_very_many_metrics_is_shown_in_part(cast: Cast, run: Run) -> None:
    keys = [f"m{number:05}" for number in range(1500)]
    services.log_batch(run, {"metrics": {"key": keys, "value": [1] * 1500, "step": [0] * 1500}}, by=cast.alice)
    assert len(client_of(cast.alice).get(url(run)).json()["metrics"]) == 1000
