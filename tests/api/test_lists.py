"""Lists: pages that can be walked, cursors that cannot break anything, a cost that does not grow with the rows."""

import base64
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from apps.access.principal import SYSTEM
from apps.accounts import services as accounts
from apps.compute import services as compute
from apps.compute.models import Cluster, PriorityClass
from apps.environments import services as environments
from apps.experiments.services import quota_node
from apps.models import services as models
from apps.models.models import RegisteredModel
from apps.quotas import services as quotas
from apps.quotas.models import QuotaNode
from apps.teams import services as teams
from apps.tracking import services as tracking
from apps.tracking.models import Run
from tests.api.answers import API, good, problem, walk
from tests.api.conftest import As
from tests.factories import Stage
from tests.people import Cast

Add = Callable[[Cast, Stage, int], Any]


def _experiment(cast: Cast, stage: Stage, number: int) -> None:
    stage.submit(cast.alice, name=f"e{number}", tags={"k": str(number)}, team="vision" if number % 2 else None)


def _team(cast: Cast, _stage: Stage, number: int) -> None:
    team = teams.create_team(cast.organization, slug=f"t{number}", name="T", by=SYSTEM)
    for name in ("alice", "bob", "mia")[: number % 3 + 1]:
        teams.set_member(team, cast.people[name], role="member", by=SYSTEM)
    teams.set_member(team, cast.alice, role="viewer", by=SYSTEM)


def _cluster(_cast: Cast, stage: Stage, number: int) -> None:
    compute.save_cluster(Cluster(name=f"c{number}", kind="fake", settings=stage.cluster.settings), by=SYSTEM)


def _token(cast: Cast, _stage: Stage, _number: int) -> None:
    accounts.issue_token(cast.alice, by=SYSTEM, name="more")


def _project(cast: Cast, _stage: Stage, number: int) -> None:
    tracking.create_project(f"p{number}", by=cast.alice, team=cast.team if number % 2 else None)


def _run(cast: Cast, _stage: Stage, number: int) -> None:
    project = tracking.create_project(f"p{number}", by=cast.alice)
    Run.objects.create(project=project, name="r", owner=cast.alice)


def _saved_view(cast: Cast, _stage: Stage, number: int) -> None:
    project = tracking.create_project(f"p{number}", by=cast.alice, team=cast.team if number % 2 else None)
    tracking.save_view(project, "v", "limit=25", by=cast.alice, is_shared=True)


def _place(cast: Cast, _stage: Stage, number: int) -> None:
    team = teams.create_team(cast.organization, slug=f"t{number}", name=f"T{number}", by=SYSTEM)
    teams.set_member(team, cast.alice, role="member", by=SYSTEM)
    quota_node(cast.alice, team)


def _allocation(cast: Cast, stage: Stage, number: int) -> None:
    _place(cast, stage, number)
    node = QuotaNode.objects.get(key__startswith="team:", name=f"T{number}")
    quotas.request_allocation(node, "cpu", 99_000, by=cast.again("alice"), reason="x")


def _priority_class(_cast: Cast, _stage: Stage, number: int) -> None:
    PriorityClass.objects.create(name=f"p{number}", rank=number // 2)


def _model(cast: Cast, _stage: Stage, number: int) -> RegisteredModel:
    team = cast.team if number % 2 else None
    model = models.create_model(f"m{number}", by=cast.alice, team=team, tags={"k": "v"})
    kept = models.store_files([("weights", iter([b"w"]))])
    models.set_alias(model, "best", models.register_files(model, kept, by=cast.alice), by=cast.alice)
    return model


def _environment(cast: Cast, _stage: Stage, number: int) -> None:
    team = cast.team if number % 2 else None
    contents = environments.read_contents(packages="six")
    environments.create_environment(f"e{number}", contents, by=cast.alice, team=team)


def _move_request(cast: Cast, stage: Stage, number: int) -> None:
    model = _model(cast, stage, number)
    models.protect(model, "alias", "champion", by=cast.alice)
    version = models.find_version(model, "latest")
    models.request_move(model, "alias", "champion", version, by=cast.alice, reason="x")


LISTS: dict[str, Add] = {
    "experiments": _experiment,
    "teams": _team,
    "clusters": _cluster,
    "tokens": _token,
    "projects": _project,
    "runs": _run,
    "saved-views": _saved_view,
    "models": _model,
    "model-requests": _move_request,
    "environments": _environment,
    "quotas": _place,
    "allocation-requests": _allocation,
    "priority-classes": _priority_class,
}


@pytest.mark.parametrize("name", LISTS)
def test_a_list_costs_the_same_for_any_number_of_rows(cast: Cast, as_: As, stage: Stage, name: str) -> None:
    client = as_("alice")

    def cost() -> int:
        with CaptureQueriesContext(connection) as queries:
            good(client.get(f"{API}/{name}/"))
        return len(queries)

    LISTS[name](cast, stage, 0)
    cost()  # the first use of a token is written
    one = cost()
    for number in (1, 2):
        LISTS[name](cast, stage, number)
    assert cost() == one
    assert one <= 8


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize("limit", [1, 2, 200])
def test_a_list_is_walked_without_gap_or_repeat(cast: Cast, as_: As, stage: Stage, name: str, limit: int) -> None:
    client = as_("alice")
    for number in range(4):
        LISTS[name](cast, stage, number)
    rows = walk(client, f"{API}/{name}/?limit={limit}")
    assert rows == walk(client, f"{API}/{name}/")
    keys = [row.get("id") or row.get("slug") or row["name"] for row in rows]
    assert len(keys) == len(set(keys)) >= 4


def test_new_rows_do_not_shift_the_pages(cast: Cast, as_: As, stage: Stage) -> None:
    client = as_("alice")
    for number in range(4):
        _experiment(cast, stage, number)
    first = good(client.get(f"{API}/experiments/?limit=2"))
    _experiment(cast, stage, 5)
    second = good(client.get(first["next"]))
    assert [row["name"] for page in (first, second) for row in page["results"]] == ["e3", "e2", "e1", "e0"]
    assert [row["name"] for row in good(client.get(second["previous"]))["results"]] == ["e3", "e2"]


@pytest.mark.parametrize(
    ("limit", "count"), [("0", 3), ("-1", 3), ("x", 3), ("", 3), ("2", 2), ("99999999999999999999", 3)]
)
def test_a_strange_limit_does_no_harm(cast: Cast, as_: As, stage: Stage, limit: str, count: int) -> None:
    for number in range(3):
        _experiment(cast, stage, number)
    answer = as_("alice").get(f"{API}/experiments/?limit={limit}")
    assert answer.status_code in (200, 400)
    if answer.status_code == 200:
        assert len(answer.json()["results"]) == count


def cursor(text: str) -> str:
    return base64.b64encode(text.encode()).decode().replace("=", "%3D").replace("+", "%2B")


CURSORS = {
    "no base64": "!!!",
    "no text": base64.b64encode(b"\xff\xfe").decode().replace("=", "%3D"),
    "no key": cursor("p=garbage"),
    "NUL": cursor("p=a%00b"),
    "huge": cursor("p=99999999999999999999999999"),
    "negative": cursor("p=-1"),
    "reverse": cursor("r=1&p=garbage"),
    "offset": cursor("o=999999999999999999999&p=1"),
    "sql": cursor("p=' OR 1=1 --"),
    "empty": cursor(""),
    "unicode": cursor("p=१२"),
    "NUL itself": "%00",
}


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize("text", CURSORS.values(), ids=CURSORS)
def test_a_bad_cursor_is_refused_or_harmless(cast: Cast, as_: As, stage: Stage, name: str, text: str) -> None:
    LISTS[name](cast, stage, 0)
    client = as_("alice")
    answer = client.get(f"{API}/{name}/?cursor={text}")
    if answer.status_code == 200:  # a position that is well-formed, if made up
        known = {str(row) for row in walk(client, f"{API}/{name}/")}
        assert {str(row) for row in answer.json()["results"]} <= known
    else:
        problem(answer, answer.status_code, {400: "invalid", 404: "not_found"}[answer.status_code])


def test_a_cursor_opens_nothing(cast: Cast, as_: As, stage: Stage) -> None:
    for number in (0, 2, 4):
        _experiment(cast, stage, number)
    page = good(as_("alice").get(f"{API}/experiments/?limit=1"))
    answer: Any = as_("charlie").get(page["next"])
    assert good(answer)["results"] == []


def test_no_page_tells_how_much_is_hidden(cast: Cast, as_: As, stage: Stage) -> None:
    _experiment(cast, stage, 0)
    client: APIClient = as_("charlie")
    assert good(client.get(f"{API}/experiments/")) == {"next": None, "previous": None, "results": []}
