"""The language of filters: what it reads, and by random text that it never does anything but read or refuse."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from apps.core.errors import Invalid
from apps.tracking import services as tracking
from apps.tracking.language.grammar import Comparison, Order, parse_filter, parse_order
from tests.mlflow.conftest import Wire
from tests.people import Cast

ENTITIES = [
    "metrics",
    "metric",
    "params",
    "param",
    "tags",
    "tag",
    "attributes",
    "attr",
    "run",
    "datasets",
    "Metrics",
    "what",
]
KEYS = [
    "loss",
    "acc",
    "lr",
    "`a b`",
    '"x.y"',
    "run_name",
    "status",
    "start_time",
    "name",
    "val/loss",
    "secret",
    "''",
    "``",
    "é",
]
OPERATORS = ["=", "!=", "<", "<=", ">", ">=", "LIKE", "ilike", "IN", "NOT IN", "IS NULL", "is not null", "==", "~", ""]
VALUES = [
    "'x'",
    '"y"',
    "0.1",
    "-1e5",
    "1e400",
    "('a','b')",
    "('a',)",
    "()",
    "'%'",
    "'\\'",
    "'_%'",
    "x",
    "",
    "NaN",
    "';--",
    "'\x00'",
]
texts = st.lists(
    st.one_of(
        st.sampled_from(
            [*ENTITIES, *KEYS, *OPERATORS, *VALUES, ".", "AND", "and", "OR", "(", ")", ",", " ", "`", "'", '"']
        ),
        st.text(max_size=6),
    ),
    max_size=14,
).map(" ".join)
sentences = st.lists(
    st.tuples(st.sampled_from(ENTITIES), st.sampled_from(KEYS), st.sampled_from(OPERATORS), st.sampled_from(VALUES)).map(
        lambda parts: f"{parts[0]}.{parts[1]} {parts[2]} {parts[3]}"
    ),
    min_size=1, max_size=3,
).map(" AND ".join)  # fmt: skip


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("  ", []),
        ("metrics.loss<0.5", [Comparison("metric", "loss", "<", 0.5)]),
        ("metrics.val.loss >= -1e3", [Comparison("metric", "val.loss", ">=", -1000.0)]),
        ("params.`a b` = 'x' and tags.\"k\" like '%'", [Comparison("param", "a b", "=", "x"), Comparison("tag", "k", "LIKE", "%")]),
        ("status != 'FINISHED'", [Comparison("attribute", "status", "!=", "FINISHED")]),
        ("`Run name` = 'x'", [Comparison("attribute", "Run name", "=", "x")]),
        ("run_id IN ('a', 'b')", [Comparison("attribute", "run_id", "IN", ("a", "b"))]),
        ("tags.x IS NOT NULL", [Comparison("tag", "x", "IS NOT NULL")]),
        ("params.x = 'a AND b'", [Comparison("param", "x", "=", "a AND b")]),
        ("params.android = 'and'", [Comparison("param", "android", "=", "and")]),
    ],
)  # fmt: skip
def test_what_is_read(text: str, expected: list[Comparison]) -> None:
    assert parse_filter(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "metrics.loss", "metrics.loss <", "= 3", "metrics.loss < 0.5 OR a = 'b'", "metrics.loss < 0.5 metrics.a > 1", "params.x = 'a",
        "metrics. < 1", "what.x = 'y'", "params.x IN 'a'", "params.x IN ()", "params.x NOT 'a'", "params.x IS 3", "metrics.loss < 1x",
        "metrics.`` < 1", "AND", "metrics.loss < 1 AND", "params.x = 'a\x00'", "params.x = '\ud800'", "x" * 60_000,
        " AND ".join(["metrics.a < 1"] * 101),
    ],
)  # fmt: skip
def test_what_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        parse_filter(text)


def test_orders() -> None:
    assert parse_order("metrics.loss DESC") == Order("metric", "loss", ascending=False)
    assert parse_order("start_time asc") == parse_order("attributes.start_time") == Order("attribute", "start_time")
    for text in ("", "metrics.loss sideways", "metrics.loss DESC DESC", "'x'"):
        with pytest.raises(Invalid):
            parse_order(text)


@given(st.one_of(texts, sentences, st.text()))
@example("'" * 3)
@settings(max_examples=500, deadline=None)
def test_any_text_is_read_or_refused(text: str) -> None:
    for parse in (parse_filter, parse_order):
        with suppress(Invalid):
            parse(text)


@pytest.fixture
def seen(cast: Cast) -> tuple[Wire, list[str], set[str], str]:
    """Charlie's wire onto a project of his own and one of alice's that he may not see; her runs hold what he looks for."""
    ids: dict[str, str] = {}
    experiments = []
    for person in (cast.alice, cast.charlie):
        project = tracking.create_project("same", by=person)
        project.refresh_from_db()
        experiments.append(str(project.number))
        for number in range(3):
            run = tracking.create_run(project, by=person, name=f"run {number}", tags={"secret": "x", "a b": "y"})
            batch = {"metrics": [{"key": "loss", "value": number / 10, "step": 0}], "params": {"lr": "x", "x.y": "y"}}
            tracking.log_batch(run, batch, by=person)
            ids[run.pk.hex] = person.username
    mine = {run for run, person in ids.items() if person == "charlie"}
    return Wire(cast.charlie), experiments, mine, next(run for run in ids if run not in mine)


@pytest.mark.django_db
@given(
    filter=st.one_of(texts, sentences),
    order=st.lists(
        st.one_of(texts, st.builds("{}.{} DESC".format, st.sampled_from(ENTITIES), st.sampled_from(KEYS))), max_size=3
    ),
)
@example(filter="", order=["metrics.loss DESC"])
@example(filter="tags.secret = 'x'", order=[])
@example(filter="params.none IS NULL", order=["params.lr"])
@example(filter="metrics.loss != 7", order=["tags.secret", "metrics.loss"])
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_search_fails_or_finds_anothers_runs(seen: Any, filter: str, order: list[str]) -> None:  # noqa: A002 -- the wire's word
    wire, experiments, mine, hers = seen
    for path, body in (
        ("runs/search", {"experiment_ids": experiments, "filter": filter, "order_by": order, "max_results": 10}),
        ("experiments/search", {"filter": filter, "order_by": order, "max_results": 10}),
        ("logged-models/search", {"experiment_ids": experiments, "filter": filter}),
    ):
        answer = wire.post(path, body)
        assert answer.status_code in {200, 400}, (answer.status_code, answer.content)
        assert hers.encode() not in answer.content
        if answer.status_code == 200 and path == "runs/search":
            assert {run["info"]["run_id"] for run in answer.json().get("runs", [])} <= mine


@pytest.mark.django_db
def test_the_search_above_would_have_found_them(seen: Any, cast: Cast) -> None:
    """The control: who may see them finds them by the same words."""
    _, experiments, mine, hers = seen
    body = {"experiment_ids": experiments, "filter": "tags.secret = 'x'", "order_by": ["metrics.loss DESC"]}
    found = {run["info"]["run_id"] for run in Wire(cast.alice).made("runs/search", **body)["runs"]}
    assert hers in found
    assert not found & mine
