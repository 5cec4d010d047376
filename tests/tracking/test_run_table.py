"""The run table: what is asked, what is found, in which order, in which groups, and what nobody is told who may not see it."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qs

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.access.choices import Visibility
from apps.tracking import services
from apps.tracking.choices import RunStatus
from apps.tracking.models import Param, Project, Run, Tag
from apps.tracking.table.asked import Asked, page_number
from apps.tracking.table.columns import ATTRIBUTES, read_column
from apps.tracking.table.groups import read_groups
from apps.tracking.table.keys import keys
from apps.tracking.table.lines import read_page
from tests.mlflow.test_filters import sentences, texts
from tests.people import Cast

NAN = float("nan")


def make(project: Project, by: Any, name: str, *, visibility: str = "", **batch: Any) -> Run:
    run = services.create_run(project, by=by, name=name, visibility=visibility)
    metrics = [{"key": key, "value": value, "step": 0} for key, value in batch.get("metrics", {}).items()]
    services.log_batch(run, {**batch, "metrics": metrics}, by=by)
    return run


@pytest.fixture
def project(cast: Cast) -> Project:
    """Four runs of alice's for her team, and one of hers that nobody else sees, with keys and values of its own."""
    project = services.create_project("vision", by=cast.alice, team=cast.team)
    rates = {"one": ("9", 0.5), "two": ("10", 0.1), "three": ("1e-3", NAN), "four": ("adaptive", None)}
    for name, (rate, loss) in rates.items():
        metrics = {"loss": loss} if loss is not None else {}
        make(
            project,
            cast.alice,
            name,
            params={"lr": rate, "a b": name},
            tags={"kind": "x" if loss else "y"},
            metrics=metrics,
        )
    hidden = {
        "params": {"secret-param": "hush", "lr": "77"},
        "tags": {"secret-tag": "hush"},
        "metrics": {"secret-metric": 1, "loss": 7},
    }
    make(project, cast.alice, "hidden", visibility=Visibility.PRIVATE, **hidden)
    project.refresh_from_db()
    return project


def asked(project: Project, text: str = "") -> Asked:
    return Asked.read(parse_qs(text), project.pk)


def names(project: Project, by: Any, text: str = "", page: int = 1) -> list[str]:
    return [line.run.name for line in read_page(project, asked(project, text), by=by, page=page).lines]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["four", "three", "two", "one"]),
        ("sort=name", ["four", "one", "three", "two"]),
        ("sort=-name", ["two", "three", "one", "four"]),
        ("sort=started", ["one", "two", "three", "four"]),
        ("sort=metrics.loss", ["two", "one", "three", "four"]),  # NaN and none last, both ways
        ("sort=-metrics.loss", ["one", "two", "three", "four"]),
        ("sort=min.loss", ["two", "one", "four", "three"]),
        ("sort=params.lr", ["three", "one", "two", "four"]),  # as numbers, words behind
        ("sort=-params.lr", ["two", "one", "three", "four"]),
        ("sort=tags.kind", ["three", "two", "one", "four"]),
        ("q=params.lr+%3D+'9'", ["one"]),
        ("q=metrics.loss+<+0.3", ["two"]),
        ("q=params.`a b`+IN+('two')", []),  # refused: params know no IN
        ("q=tags.kind+%3D+'x'+AND+metrics.loss+>+0.3", ["one"]),
        ("q=run_name+LIKE+'t%25'", ["three", "two"]),
        ("deleted=1", []),
    ],
)  # fmt: skip
def test_filter_and_order(query: str, expected: list[str], project: Project, cast: Cast) -> None:
    assert names(project, cast.bob, query) == expected


def test_a_param_that_only_looks_like_a_number_is_a_word(project: Project, cast: Cast) -> None:
    numbers = ["-2", " 3 ", ".5", "1e99", "9" * 200, "-1e-99"]
    words = ["1e400", "9" * 300, "NaN", "inf", "0x1f", "1_000", "\uff11", "\u0661", "", "1\n", "--1", "1e", "."]
    for text in [*numbers, *words]:
        make(project, cast.alice, repr(text)[:200], params={"hard": text})
    found = read_page(project, asked(project, "sort=params.hard&limit=100&q=params.hard+IS+NOT+NULL"), by=cast.bob)
    shown = [line.run.name for line in found.lines]
    assert shown[: len(numbers)] == [repr(text)[:200] for text in sorted(numbers, key=float)]
    assert set(shown[len(numbers) :]) == {repr(text)[:200] for text in words}


def test_her_own_run_is_in_her_table_alone(project: Project, cast: Cast) -> None:
    assert names(project, cast.alice) == ["hidden", "four", "three", "two", "one"]
    assert names(project, cast.alice, "sort=-metrics.loss")[0] == "hidden"
    assert names(project, cast.charlie) == []


def test_cells_show_what_the_columns_ask_for(project: Project, cast: Cast) -> None:
    words = ["params.lr", "metrics.loss", "min.loss", "max.loss", "tags.kind", "tags", "owner"]
    found = read_page(project, asked(project, "&".join(f"col={word}" for word in words)), by=cast.bob)
    lines = {line.run.name: {column.word: value for column, value in line.cells} for line in found.lines}
    assert [column.word for column in found.columns] == words
    assert lines["one"] == {
        "params.lr": "9", "metrics.loss": 0.5, "min.loss": 0.5, "max.loss": 0.5, "tags.kind": "x", "tags": ["kind=x"], "owner": None,
    }  # fmt: skip
    assert lines["four"]["metrics.loss"] is None


def test_the_usual_columns_are_those_of_runs_one_may_see(project: Project, cast: Cast) -> None:
    words = [column.word for column in read_page(project, asked(project), by=cast.bob).columns]
    assert words == ["status", "started", "duration", "owner", "params.a b", "params.lr", "metrics.loss"]
    hers = [column.word for column in read_page(project, asked(project), by=cast.alice).columns]
    assert {"params.secret-param", "metrics.secret-metric"} <= set(hers)


def test_pages_and_their_count(project: Project, cast: Cast) -> None:
    for number in range(30):
        make(project, cast.alice, f"more {number:02}", metrics={"loss": number})
    first = read_page(project, asked(project, "limit=25&sort=metrics.loss"), by=cast.bob)
    second = read_page(project, asked(project, "limit=25&sort=metrics.loss"), by=cast.bob, page=2)
    assert (len(first.lines), first.has_more, first.total, first.first, first.last) == (25, True, 34, 1, 25)
    assert (len(second.lines), second.has_more, second.total, second.first, second.last) == (9, False, 34, 26, 34)
    seen = [line.run.pk for line in [*first.lines, *second.lines]]
    assert len(set(seen)) == 34
    assert read_page(project, asked(project, "limit=25"), by=cast.bob, page=9).lines == []


@pytest.mark.parametrize("kind", ["param", "metric", "tag"])
def test_keys_are_those_of_runs_one_may_see(kind: str, project: Project, cast: Cast) -> None:
    shown = {"param": ["a b", "lr"], "metric": ["loss"], "tag": ["kind"]}[kind]
    assert keys(kind, project=project.pk, by=cast.bob) == shown
    assert keys(kind, project=project.pk, by=cast.alice) == sorted([*shown, f"secret-{kind}"])
    assert keys(kind, project=project.pk, by=cast.charlie) == []
    assert keys(kind, project=project.pk, by=cast.alice, text="SECRET") == [f"secret-{kind}"]
    assert keys(kind, project=project.pk, by=cast.bob, text="secret") == []
    assert keys(kind, project=project.pk, by=cast.alice, text="%") == []
    assert len(keys(kind, project=project.pk, by=cast.alice, limit=1)) == 1


def test_keys_of_another_project_are_not_there(project: Project, cast: Cast) -> None:
    other = services.create_project("other", by=cast.alice, team=cast.team)
    make(other, cast.alice, "elsewhere", params={"elsewhere": "1"})
    assert "elsewhere" not in keys("param", project=project.pk, by=cast.bob)
    assert keys("param", project=other.pk, by=cast.bob) == ["elsewhere"]


def test_every_way_to_write_a_param_or_tag_tells_its_project(project: Project, cast: Cast) -> None:
    run = services.create_run(project, by=cast.alice, name="tagged", tags={"at": "once"})
    services.log_batch(run, {"params": {"p": "1"}, "tags": {"t": "1"}}, by=cast.alice)
    for table in (Param, Tag):
        assert set(table.objects.filter(run=run).values_list("project_id", flat=True)) == {project.pk}


def test_groups_count_and_measure(project: Project, cast: Cast) -> None:
    found = read_groups(project, asked(project, "group=tags.kind"), by=cast.bob)
    rows = {group.value: group for group in found.groups}
    assert {value: group.count for value, group in rows.items()} == {"x": 3, "y": 1}
    assert [metric.key for metric in found.metrics] == ["loss"]
    measured = rows["x"].measured[0]  # 0.5, 0.1 and NaN
    assert (measured.mean, measured.lowest, measured.highest) == (pytest.approx(0.3), 0.1, 0.5)
    assert (rows["y"].measured[0].mean, rows["y"].filter) == (None, "tags.kind = 'y'")
    hers = {
        group.value: group.count
        for group in read_groups(project, asked(project, "group=tags.kind"), by=cast.alice).groups
    }
    assert hers == {"x": 3, "y": 1, None: 1}


@pytest.mark.parametrize(
    ("group", "values"),
    [("status", {"running": 4}), ("owner", {"alice": 4}), ("name", dict.fromkeys(["one", "two", "three", "four"], 1)),
     ("params.lr", dict.fromkeys(["9", "10", "1e-3", "adaptive"], 1)), ("params.none", {None: 4})],
)  # fmt: skip
def test_a_group_opens_to_its_runs(group: str, values: dict[str, int], project: Project, cast: Cast) -> None:
    found = read_groups(project, asked(project, f"group={group}"), by=cast.bob)
    assert {one.value: one.count for one in found.groups} == values
    for one in found.groups:
        assert one.filter is not None
        opened = Asked.read({"q": [one.filter]}, project.pk)
        assert opened.problems == {}
        assert len(read_page(project, opened, by=cast.bob).lines) == one.count


def test_a_group_keeps_the_filter_and_may_be_unsayable(project: Project, cast: Cast) -> None:
    make(project, cast.alice, "quoted", params={"lr": "'\""})
    found = read_groups(project, asked(project, "group=params.lr&q=run_name+LIKE+'%25o%25'"), by=cast.bob)
    filters = {one.value: one.filter for one in found.groups}
    assert filters == {
        "9": "run_name LIKE '%o%' AND params.lr = '9'", "10": "run_name LIKE '%o%' AND params.lr = '10'",
        "adaptive": "run_name LIKE '%o%' AND params.lr = 'adaptive'", "'\"": None,
    }  # fmt: skip


def test_groups_are_in_the_order_of_their_best_run(project: Project, cast: Cast) -> None:
    make(project, cast.alice, "five", tags={"kind": "z"}, metrics={"loss": 0.3})
    best = [
        one.value
        for one in read_groups(project, asked(project, "group=tags.kind&sort=metrics.loss"), by=cast.bob).groups
    ]
    worst = [
        one.value
        for one in read_groups(project, asked(project, "group=tags.kind&sort=-metrics.loss"), by=cast.bob).groups
    ]
    assert best == worst == ["x", "z", "y"]  # 0.1 and 0.5 are both of x
    by_name = read_groups(project, asked(project, "group=tags.kind&sort=-tags.kind"), by=cast.bob)
    assert [one.value for one in by_name.groups] == ["z", "y", "x"]


def test_a_query_is_written_as_it_was_read(project: Project) -> None:
    text = "q=metrics.loss+%3C+1&col=status&col=params.a+b&col=metrics.val%2Floss&sort=-metrics.loss&group=params.lr&limit=25&deleted=1"
    first = asked(project, text)
    assert first.problems == {}
    assert asked(project, first.query_string()).query_string() == first.query_string()
    assert parse_qs(first.query_string()) == parse_qs(text)
    assert asked(project).query_string() == ""


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("q=metrics.loss+<", "q"), ("q=what.x+%3D+1", "q"), ("q=%00", "q"), (f"q={'x' * 4000}", "q"), ("q=status+<+3", "q"),
        ("col=nothing", "col"), ("col=params.", "col"), ("col=metrics.a%00b", "col"), (f"col=params.{'k' * 300}", "col"),
        ("&".join(f"col=params.p{n}" for n in range(60)), "col"), ("sort=tags", "sort"), ("sort=--name", "sort"),
        ("group=metrics.loss", "group"), ("group=duration", "group"), ("group=x", "group"), ("limit=7", "limit"), ("limit=x", "limit"),
    ],
)  # fmt: skip
def test_what_is_ill_is_told_and_left_out(query: str, field: str, project: Project, cast: Cast) -> None:
    read = asked(project, query)
    assert list(read.problems) == [field]
    read_page(project, read, by=cast.bob)


def test_an_ill_filter_finds_nothing_and_says_where(project: Project, cast: Cast) -> None:
    read = asked(project, "q=metrics.loss+~+3")
    assert read.filter_problem is not None
    problem = read.filter_problem
    assert (problem.before, problem.wrong, problem.behind) == ("metrics.loss ", "~ 3", "")
    assert "at character 14" in problem.sentence
    assert read_page(project, read, by=cast.alice).lines == []
    unknown = asked(project, "q=run_name+%3D+'x'+AND+colour+%3D+'red'").filter_problem
    assert unknown is not None
    assert unknown.wrong == "colour"


@pytest.mark.parametrize(
    ("text", "number"), [("", 1), ("3", 3), ("0", 1), ("-1", 1), ("x", 1), ("9" * 30, 1), ("99999999", 10_000)]
)
def test_page_numbers(text: str, number: int) -> None:
    assert page_number({"page": [text]}) == number


@pytest.mark.parametrize("word", [*ATTRIBUTES, "params.x", "metrics.a.b", "min.x", "max.x", "tags.é"])
def test_a_column_is_its_word(word: str) -> None:
    column = read_column(word)
    assert column is not None
    assert column.word == word


EVERYTHING: Sequence[str] = [
    *ATTRIBUTES,
    "params.lr",
    "params.a b",
    "metrics.loss",
    "min.loss",
    "max.loss",
    "tags.kind",
]


@pytest.mark.parametrize(
    "query",
    ["", "&".join(f"col={word}" for word in EVERYTHING), "group=params.lr", "q=params.lr+!%3D+'x'&sort=metrics.loss"],
)
def test_the_number_of_queries_does_not_grow_with_the_rows(query: str, project: Project, cast: Cast) -> None:
    def cost() -> int:
        read = asked(project, query)
        person = cast.again("bob")
        with CaptureQueriesContext(connection) as queries:
            (read_groups if read.group else read_page)(project, read, by=person)
        return len(queries)

    cost()
    few = cost()
    for number in range(8):
        make(
            project,
            cast.alice,
            f"more {number}",
            params={"lr": str(number), f"p{number}": "1"},
            tags={"kind": "z"},
            metrics={"loss": number},
        )
    assert cost() == few


def test_the_deleted_are_a_table_of_their_own(project: Project, cast: Cast) -> None:
    run = Run.objects.get(name="two")
    services.archive_run(run, by=cast.alice)
    assert names(project, cast.bob) == ["four", "three", "one"]
    assert names(project, cast.bob, "deleted=1") == ["two"]
    assert "status" in read_page(project, asked(project, "deleted=1"), by=cast.bob).columns[0].word
    assert run.status == RunStatus.RUNNING


WORDS = st.sampled_from(
    [
        *ATTRIBUTES,
        "name",
        "params.lr",
        "metrics.loss",
        "min.loss",
        "max.secret-metric",
        "tags.secret-tag",
        "params.",
        "x",
        "-name",
        "-params.secret-param",
    ]
)
queries = st.fixed_dictionaries(
    {},
    optional={
        "q": st.one_of(texts, sentences).map(lambda text: [text]),
        "col": st.lists(st.one_of(WORDS, st.text(max_size=8)), max_size=6),
        "sort": st.one_of(WORDS, st.text(max_size=8)).map(lambda word: [word]),
        "group": st.one_of(WORDS, st.text(max_size=8)).map(lambda word: [word]),
        "limit": st.sampled_from([["25"], ["x"]]),
        "deleted": st.just(["1"]),
        "page": st.sampled_from([["2"], ["x"]]),
    },
)


@given(query=queries)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_address_is_answered_and_tells_of_no_hidden_run(
    query: dict[str, list[str]], project: Project, cast: Cast
) -> None:
    read, number = Asked.read(query, project.pk), page_number(query)
    if read.group is not None:
        groups = read_groups(project, read, by=cast.bob, page=number).groups
        assert "hush" not in {group.value for group in groups}
        assert sum(group.count for group in groups) <= 4
    found = read_page(project, read, by=cast.bob, page=number)
    assert "hidden" not in {line.run.name for line in found.lines}
    assert "hush" not in {value for line in found.lines for _, value in line.cells if isinstance(value, str)}
    if not read.problems:
        assert Asked.read(parse_qs(read.query_string()), project.pk).query_string() == read.query_string()
