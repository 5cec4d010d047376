"""The pages of projects and their run tables: costs, addresses, forms, and what nobody reads who may not see it."""

import re
from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from apps.access.choices import Visibility
from apps.access.decision import Role
from apps.access.grants import grant
from apps.tracking import services as tracking
from apps.tracking.models import Project, Run, SavedView
from tests.people import Cast, submit
from tests.portal.reading import said, text_of
from tests.tracking.test_run_table import make

pytestmark = pytest.mark.usefixtures("cluster")
Browser = Callable[[str], Client]
EVIL = """"><script>alert('x')</script>{{ 7|add:7 }}' onfocus=x"""


@pytest.fixture
def project(cast: Cast) -> Project:
    """A project of alice's in her team with two runs, one of them private to her."""
    project = tracking.create_project("vision-runs", by=cast.alice, team=cast.team, description="What we see.")
    make(project, cast.alice, "open", params={"lr": "0.1"}, metrics={"loss": 0.5}, tags={"stage": "dev"})
    make(
        project,
        cast.alice,
        "sesame",
        visibility=Visibility.PRIVATE,
        params={"sesame-key": "sesame"},
        metrics={"loss": 0.1},
    )
    return project


def page_of(project: Project, rest: str = "") -> str:
    return f"/projects/{project.pk}/{rest}"


def names(response: object) -> list[str]:
    return [line.run.name for line in response.context["found"].lines]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "rest",
    [
        "",
        "?col=status&col=params.lr&col=metrics.loss&col=tags.stage&col=tags&sort=metrics.loss&find=l",
        "?group=params.lr",
        "keys/?find=l",
    ],
)
def test_the_number_of_queries_does_not_grow_with_the_rows(
    rest: str, project: Project, cast: Cast, as_person: Browser
) -> None:
    client = as_person("alice")

    def cost() -> int:
        with CaptureQueriesContext(connection) as queries:
            assert client.get(page_of(project, rest)).status_code == 200
        return len(queries)

    cost()
    one = cost()
    for number in range(5):
        make(
            project,
            cast.alice,
            f"more {number}",
            params={"lr": str(number)},
            metrics={"loss": number},
            tags={"stage": "x"},
        )
        tracking.save_view(project, f"view {number}", "limit=25", by=cast.alice, is_shared=True)
    assert cost() == one
    assert one <= 28


def test_the_list_of_projects_costs_the_same_for_more_of_them(project: Project, cast: Cast, as_person: Browser) -> None:
    client = as_person("alice")

    def cost() -> int:
        with CaptureQueriesContext(connection) as queries:
            assert client.get("/projects/").status_code == 200
        return len(queries)

    cost()
    one = cost()
    for number in range(4):
        make(tracking.create_project(f"p{number}", by=cast.alice, team=cast.team), cast.alice, "run")
    assert cost() == one


def test_one_sees_the_projects_one_may_see(project: Project, cast: Cast, as_person: Browser) -> None:
    tracking.create_project("alices-own", by=cast.alice)
    assert {row.name for row in as_person("bob").get("/projects/").context["page"].rows} == {"vision-runs"}
    assert "vision-runs" not in text_of(as_person("charlie").get("/projects/"))
    alice = as_person("alice")
    assert {row.name for row in alice.get("/projects/").context["page"].rows} == {"vision-runs", "alices-own"}
    assert [row.name for row in alice.get("/projects/?q=OWN").context["page"].rows] == ["alices-own"]
    assert [row.name for row in alice.get(f"/projects/?team={cast.team.slug}").context["page"].rows] == ["vision-runs"]
    assert "Too long, or not text." in text_of(alice.get("/projects/?q=%00"))


def test_the_last_run_of_a_project_is_one_that_the_reader_may_see(
    project: Project, cast: Cast, as_person: Browser
) -> None:
    when = {name: Run.objects.get(name=name).started_at for name in ("open", "sesame")}
    for person, name in (("alice", "sesame"), ("bob", "open")):
        rows = as_person(person).get("/projects/").context["page"].rows
        assert [row.last_run_at for row in rows if row.name == "vision-runs"] == [when[name]]


@pytest.mark.parametrize("rest", ["", "keys/?find=", "complete/?text=", "?group=params.lr"])
def test_a_project_that_may_not_be_seen_is_not_there(rest: str, project: Project, as_person: Browser) -> None:
    assert as_person("charlie").get(page_of(project, rest)).status_code == 404
    assert as_person("alice").get(page_of(project, rest)).status_code == 200


@pytest.mark.parametrize(
    "rest",
    [
        "", "?col=params.sesame-key", "?sort=params.sesame-key", "?group=params.sesame-key", "?group=name", "keys/?find=s", "complete/?text=params.s",
        "complete/?text=params.sesame-key+%3D+", "?find=sesame&deleted=1", "?q=params.sesame-key+IS+NOT+NULL", "complete/?text=run_name+%3D+",
    ],
)  # fmt: skip
def test_nothing_of_a_hidden_run_is_on_any_page(rest: str, project: Project, as_person: Browser) -> None:
    """What the reader asked for himself is on his page; so it is compared with the same question about nothing."""
    theirs = text_of(as_person("bob").get(page_of(project, rest)))
    Run.objects.filter(name="sesame").delete()
    without = text_of(as_person("bob").get(page_of(project, rest)))
    assert _still(theirs) == _still(without)


def _still(page: str) -> str:
    return re.sub(r'csrfmiddlewaretoken" value="[^"]*"|data-since="[^"]*">[^<]*|\d+\.\ds', "", page)


def test_the_control_of_the_test_above(project: Project, as_person: Browser) -> None:
    alice = as_person("alice")
    for rest in ("", "?col=params.sesame-key", "keys/?find=s", "complete/?text=params.s"):
        assert "sesame" in text_of(alice.get(page_of(project, rest)))


def test_an_ill_filter_is_told_beside_the_field_and_kept(project: Project, as_person: Browser) -> None:
    response = as_person("alice").get(page_of(project), {"q": "metrics.loss ~ 3"})
    page = text_of(response)
    assert response.status_code == 200
    assert "at character 14" in page
    assert 'value="metrics.loss ~ 3"' in page
    assert "<mark>~ 3</mark>" in page
    assert names(response) == []


@pytest.mark.parametrize(
    "query",
    [
        "q=%00", "q=%ED%A0%80", "col=%00", "col=params.%00", "sort=%00", "group=%00", "find=%00", "page=x", "page=-1", "page=99999999999", "view=x",
        "view=%00", "limit=%00", "deleted=2", "view_name=%00", "q=" + "x" * 5000, "col=params." + "y" * 5000, "group=params.none", "sort=-max.none",
    ],
)  # fmt: skip
def test_nonsense_in_the_address_is_answered(query: str, project: Project, as_person: Browser) -> None:
    client = as_person("alice")
    for rest in (f"?{query}", f"keys/?{query}", f"complete/?{query.replace('q=', 'text=')}"):
        assert client.get(page_of(project, rest)).status_code == 200, rest


def test_what_people_write_is_text(project: Project, cast: Cast, as_person: Browser) -> None:
    make(project, cast.alice, EVIL, params={"e": EVIL}, tags={"k": EVIL})
    tracking.update_project(project, by=cast.alice, description=EVIL)
    tracking.save_view(project, EVIL[:60], "", by=cast.alice)
    client = as_person("alice")
    pages = [
        client.get(page_of(project), query)
        for query in ({"col": ["params.e", "tags.k", "tags"], "q": EVIL}, {"group": "params.e"}, {"col": "tags"})
    ]
    for response in [*pages, client.get("/projects/")]:
        assert "<script>alert" not in text_of(response)
    assert "&lt;script&gt;" in text_of(pages[0])


def test_htmx_gets_the_rows_only(project: Project, as_person: Browser) -> None:
    response = as_person("alice").get(page_of(project), headers={"HX-Request": "true", "HX-Target": "rows"})
    assert text_of(response).lstrip().startswith('<tbody id="rows"')
    assert "HX-Target" in response["Vary"]
    assert 'hx-trigger="every 15s"' in text_of(response)  # a run goes on


def test_a_job_shows_its_own_state(project: Project, cast: Cast, as_person: Browser) -> None:
    submit(cast.alice, name="job", project="vision-runs", team="vision")
    page = text_of(as_person("alice").get(page_of(project, "?q=run_name+%3D+'job'")))
    assert "state-queued" in page
    assert "state-running" not in page


def test_bulk_deletes_and_restores_what_is_allowed_and_counts_the_rest(
    project: Project, cast: Cast, as_person: Browser
) -> None:
    submit(cast.alice, name="job", project="vision-runs", team="vision")
    other = make(tracking.create_project("other", by=cast.alice), cast.alice, "elsewhere")
    runs = {run.name: run for run in Run.objects.filter(project=project)}
    form = {"action": "delete", "id": [str(run.pk) for run in [*runs.values(), other]], "back": "sort=name&next=//evil"}
    bob = as_person("bob").post(page_of(project, "bulk/"), form)
    assert said(bob)[0].startswith("2 left as they were.")  # the third he does not see
    assert not Run.objects.exclude(archived_at=None).exists()
    response = as_person("alice").post(page_of(project, "bulk/"), form)
    assert response["Location"] == f"/projects/{project.pk}/?sort=name&next=%2F%2Fevil"
    assert said(response) == ["2 runs deleted.", "1 left as they were. job: It is queued. Stop it first."]
    assert set(Run.objects.filter(archived_at=None).values_list("name", flat=True)) == {"job", "elsewhere"}
    restored = as_person("alice").post(page_of(project, "bulk/"), {**form, "action": "restore"})
    assert said(restored)[0] == "2 runs restored."
    assert said(as_person("alice").post(page_of(project, "bulk/"), {"action": "explode", "id": form["id"]})) == [
        "Nothing was chosen."
    ]
    assert said(as_person("alice").post(page_of(project, "bulk/"), {"action": "delete", "id": ["x"]})) == [
        "Nothing was chosen."
    ]


def test_compare_is_an_address(project: Project, as_person: Browser) -> None:
    ids = [str(run.pk) for run in Run.objects.filter(project=project)]
    to = as_person("alice").post(page_of(project, "bulk/"), {"action": "compare", "id": ids})["Location"]
    assert urlsplit(to).path == "/runs/compare/"
    assert parse_qs(urlsplit(to).query) == {"id": ids}


def test_views_are_kept_changed_and_forgotten_by_forms(project: Project, cast: Cast, as_person: Browser) -> None:
    alice = as_person("alice")
    made = alice.post(
        page_of(project, "views/"),
        {"name": "best", "query": "sort=-metrics.loss", "shared": "1", "back": "sort=-metrics.loss"},
    )
    view = SavedView.objects.get()
    assert made["Location"] == f"/projects/{project.pk}/?sort=-metrics.loss&view={view.pk}"
    assert (view.name, view.query, view.is_shared, view.owner) == ("best", "sort=-metrics.loss", True, cast.alice)
    response = as_person("bob").get(made["Location"])
    assert (response.context["view"], response.context["can_change_view"], response.context["is_view_changed"]) == (
        view,
        False,
        False,
    )
    assert as_person("bob").post(page_of(project, f"views/{view.pk}/"), {"action": "delete"}).status_code == 403
    assert as_person("charlie").post(page_of(project, f"views/{view.pk}/"), {"action": "delete"}).status_code == 404
    assert alice.get(page_of(project, f"?limit=25&view={view.pk}")).context["is_view_changed"]
    alice.post(page_of(project, f"views/{view.pk}/"), {"name": "better", "query": "limit=25"})
    view.refresh_from_db()
    assert (view.name, view.query, view.is_shared) == ("better", "limit=25", False)
    gone = alice.post(page_of(project, f"views/{view.pk}/"), {"action": "delete", "back": f"limit=25&view={view.pk}"})
    assert gone["Location"] == f"/projects/{project.pk}/?limit=25"
    assert not SavedView.objects.exists()


@pytest.mark.parametrize(
    ("name", "query", "word"),
    [("", "", "Give it a name"), ("x", "col=nothing", "no column"), ("x", "q=metrics.", "ends too early")],
)
def test_a_view_that_cannot_be_kept_says_why_and_keeps_the_name(
    name: str, query: str, word: str, project: Project, as_person: Browser
) -> None:
    response = as_person("alice").post(page_of(project, "views/"), {"name": name, "query": query, "back": "limit=25"})
    assert word in said(response)[0]
    assert f"view_name={name}" in response["Location"] or not name
    assert not SavedView.objects.exists()


def test_a_view_of_another_project_is_not_there(project: Project, cast: Cast, as_person: Browser) -> None:
    other = tracking.create_project("other", by=cast.alice)
    view = tracking.save_view(other, "v", "", by=cast.alice)
    assert as_person("alice").post(page_of(project, f"views/{view.pk}/"), {"action": "delete"}).status_code == 404
    assert SavedView.objects.exists()


def test_somebody_the_project_was_shared_with_reads_it(project: Project, cast: Cast, as_person: Browser) -> None:
    grant(cast.charlie, project, Role.VIEWER)
    response = as_person("charlie").get(page_of(project))
    assert names(response) == []  # what is in it was not shared
    assert "lr" not in [column.key for column in response.context["found"].columns]


def test_the_palette_leads_to_the_project(project: Project, as_person: Browser) -> None:
    assert page_of(project) in text_of(as_person("bob").get("/search/?q=vision-r"))
