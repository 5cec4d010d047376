"""The experiment table: its cost, its filters, its pages, its columns, its bulk actions."""

from collections.abc import Callable

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from apps.access.principal import SYSTEM
from apps.compute.choices import State
from apps.compute.lifecycle import transition
from apps.compute.models import Workload
from apps.experiments.models import Experiment
from apps.teams import services as teams
from apps.tracking.models import MetricSeries, Param
from tests.people import Cast, submit
from tests.portal.reading import said, text_of

pytestmark = pytest.mark.usefixtures("cluster")
Browser = Callable[[str], Client]
EVERY_COLUMN = (
    "?cols=state,reason,project,owner,team,kind,cluster,tags,priority,attempt,created,duration&metrics=loss&params=lr"
)


def end(experiment: Experiment, state: str = State.STOPPED) -> None:
    transition(Workload.objects.get(pk=experiment.workload_id), state, actor=SYSTEM)


def names(response: object) -> list[str]:
    return [str(line.experiment) for line in response.context["lines"]]  # type: ignore[attr-defined]


@pytest.mark.parametrize("path", ["/experiments/", f"/experiments/{EVERY_COLUMN}", "/", "/usage/", "/search/?q=run"])
def test_the_number_of_queries_does_not_grow_with_the_rows(path: str, cast: Cast, as_person: Browser) -> None:
    client = as_person("alice")

    def cost() -> int:
        with CaptureQueriesContext(connection) as queries:
            assert client.get(path).status_code == 200
        return len(queries)

    def add(name: str) -> None:
        run = submit(cast.alice, name=name, team="vision", tags={"a": "b"}).run
        MetricSeries.objects.create(run=run, key="loss", count=1, last_value=0.5)
        Param.objects.create(run=run, key="lr", value="1")

    add("run-1")
    cost()  # the first request fills what Django remembers between requests
    one = cost()
    add("run-2")
    add("run-3")
    assert cost() == one
    assert one <= 22  # a session reads its shares anew for each kind


@pytest.mark.parametrize("person", ["alice", "bob"])
def test_the_team_page_costs_the_same_for_more_members(person: str, cast: Cast, as_person: Browser) -> None:
    client = as_person(person)
    client.get("/teams/vision/")
    with CaptureQueriesContext(connection) as before:
        client.get("/teams/vision/")
    for name in ("charlie", "dana"):
        teams.set_member(cast.team, cast.people[name], role="member", by=SYSTEM)
    with CaptureQueriesContext(connection) as after:
        client.get("/teams/vision/")
    assert len(after) == len(before)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["three", "two", "one"]),
        ("state=stopped", ["one"]),
        ("state=stopped&state=queued", ["three", "two", "one"]),
        ("kind=python", ["two"]),
        ("team=vision", ["three"]),
        ("owner=alice", ["two", "one"]),
        ("q=TW", ["two"]),
        ("tag=size=big", ["two"]),
        ("project=default&owner=mia", ["three"]),
        ("q=none-of-these", []),
        ("q=two&kind=shell", []),
    ],
)
def test_filters(query: str, expected: list[str], cast: Cast, as_person: Browser) -> None:
    end(submit(cast.alice, name="one"))
    submit(cast.alice, name="two", kind="python", tags={"size": "big"})
    submit(cast.mia, name="three", team="vision")
    submit(cast.charlie, name="hidden")
    assert names(as_person("alice").get(f"/experiments/?{query}")) == expected


@pytest.mark.parametrize("query", ["state=flying", "tag=nothing", "q=%00"])
def test_a_filter_that_cannot_be_read_is_said_and_shows_nothing(query: str, cast: Cast, as_person: Browser) -> None:
    submit(cast.alice, name="one")
    response = as_person("alice").get(f"/experiments/?{query}")
    assert (response.status_code, names(response)) == (200, [])
    assert 'role="alert"' in text_of(response)


def test_pages_go_on_and_back_without_losing_a_row(cast: Cast, as_person: Browser) -> None:
    for number in range(60):
        submit(cast.alice, name=f"run-{number:02d}")
    client = as_person("alice")
    first = client.get("/experiments/?limit=25")
    second = client.get(f"/experiments/?limit=25&after={first.context['page'].older}")
    third = client.get(f"/experiments/?limit=25&after={second.context['page'].older}")
    assert names(first) + names(second) + names(third) == [f"run-{number:02d}" for number in reversed(range(60))]
    assert (first.context["page"].newer, third.context["page"].older) == ("", "")
    back = client.get(f"/experiments/?limit=25&before={third.context['page'].newer}")
    assert names(back) == names(second)


@pytest.mark.parametrize("query", ["limit=7", "limit=x", "after=x", "before=%00", "cols=nonsense"])
def test_nonsense_in_the_address_shows_the_first_page(query: str, cast: Cast, as_person: Browser) -> None:
    submit(cast.alice, name="one")
    assert names(as_person("alice").get(f"/experiments/?{query}")) == ["one"]


def test_the_columns_are_in_the_address(cast: Cast, as_person: Browser) -> None:
    run = submit(cast.alice, name="one").run
    MetricSeries.objects.create(run=run, key="loss", count=1, last_value=0.123456)
    page = text_of(as_person("alice").get("/experiments/?cols=kind&cols=cluster&metrics=loss,none"))
    headings = [part.split("</th>")[0].rpartition(">")[2] for part in page.split('<th scope="col"')[1:]]
    assert headings == ["", "Name", "Kind", "Cluster", "loss", "none"]
    assert "0.12346" in page


def test_htmx_gets_the_rows_only(cast: Cast, as_person: Browser) -> None:
    submit(cast.alice, name="one")
    response = as_person("alice").get("/experiments/", headers={"HX-Request": "true", "HX-Target": "rows"})
    assert text_of(response).lstrip().startswith('<tbody id="rows"')
    assert "HX-Target" in response["Vary"]


def test_rows_are_refreshed_only_while_something_is_active(cast: Cast, as_person: Browser) -> None:
    run = submit(cast.alice, name="one")
    client = as_person("alice")
    assert 'hx-trigger="every 4s"' in text_of(client.get("/experiments/"))
    end(run)
    assert 'hx-trigger="every 4s"' not in text_of(client.get("/experiments/"))


def test_bulk_actions_do_what_is_allowed_and_count_the_rest(cast: Cast, as_person: Browser) -> None:
    own, ended, team = (
        submit(cast.alice, name="own"),
        submit(cast.alice, name="ended"),
        submit(cast.mia, name="mias", team="vision"),
    )
    hidden = submit(cast.charlie, name="hidden")
    end(ended)
    form = {
        "action": "delete",
        "id": [str(run.pk) for run in (own, ended, team, hidden)],
        "back": "state=queued&next=//evil",
    }
    response = as_person("alice").post("/experiments/bulk/", form)
    assert response["Location"] == "/experiments/?state=queued&next=%2F%2Fevil"
    assert said(response) == [
        "1 experiment deleted.",
        "2 left as they were. mias: You are editor of this experiment; delete needs manager. own: It is queued. Stop it first.",
    ]
    assert set(Experiment.objects.live().values_list("run__name", flat=True)) == {"own", "mias", "hidden"}


def test_bulk_stop_reaches_the_chosen_rows_only(cast: Cast, as_person: Browser) -> None:
    chosen, left = submit(cast.alice, name="chosen"), submit(cast.alice, name="left")
    response = as_person("alice").post("/experiments/bulk/", {"action": "stop", "id": [str(chosen.pk)]})
    assert said(response) == ["1 experiment asked to stop."]
    wishes = dict(Workload.objects.values_list("pk", "desired_state"))
    assert wishes == {chosen.workload_id: "stop", left.workload_id: "run"}


def test_compare_is_an_address_of_its_own(cast: Cast, as_person: Browser) -> None:
    one, two = (
        submit(cast.alice, name="one", tags={"a": "1"}),
        submit(cast.alice, name="two", kind="python", command="python x.py"),
    )
    Param.objects.create(run=one.run, key="lr", value="0.1")
    Param.objects.create(run=two.run, key="lr", value="0.2")
    for run in (one, two):
        Param.objects.create(run=run.run, key="same", value="1")
    client = as_person("alice")
    to = client.post("/experiments/bulk/", {"action": "compare", "id": [str(one.pk), str(two.pk)]})["Location"]
    assert to == f"/runs/compare/?id={one.pk}&id={two.pk}"
    keys = {line.key for section in client.get(to).context["sections"] for line in section.lines}
    assert keys == {"a", "command", "kind", "lr"}
    assert "same" in {line.key for section in client.get(f"{to}&all=1").context["sections"] for line in section.lines}
