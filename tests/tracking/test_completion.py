"""What the filter suggests: by the grammar, from the keys and values of runs one may see, and never an error."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.access.choices import Visibility
from apps.tracking import services
from apps.tracking.language.grammar import parse_filter
from apps.tracking.models import Project
from apps.tracking.table.completion import complete
from tests.mlflow.test_filters import sentences, texts
from tests.people import Cast
from tests.tracking.test_run_table import make


@pytest.fixture
def project(cast: Cast) -> Project:
    project = services.create_project("vision", by=cast.alice, team=cast.team)
    for number, optimizer in enumerate(["adam", "sgd", "it's"]):
        params = {"optimizer": optimizer, "a b": "1"}
        make(
            project,
            cast.alice,
            f"run {number}",
            params=params,
            tags={"stage": "dev"},
            metrics={"val/loss": 1, "loss": 1},
        )
    hidden: dict[str, Any] = {"params": {"optimizer": "hush", "secret-p": "hush"}, "metrics": {"secret-m": 1}}
    make(project, cast.alice, "hidden", visibility=Visibility.PRIVATE, **hidden)
    return project


def offered(project: Project, by: Any, text: str) -> list[str]:
    return [option.text for option in complete(text, project=project, by=by).options]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ["metrics.", "params.", "tags.", "status", "run_name", "user_id", "start_time", "end_time", "run_id"]),
        ("met", ["metrics."]),
        ("metrics.", ["metrics.loss", "metrics.val/loss"]),
        ("metrics.v", ["metrics.val/loss"]),
        ("loss", ["metrics.loss", "metrics.val/loss"]),
        ("params.`a", ["params.`a b`"]),
        ("params.opt", ["params.optimizer"]),
        ("metrics.loss ", ["=", "!=", "<", "<=", ">", ">="]),
        ("params.optimizer ", ["=", "!=", "LIKE", "ILIKE", "IS NULL", "IS NOT NULL"]),
        ("params.optimizer l", ["LIKE"]),
        ("status ", ["=", "!=", "LIKE", "ILIKE", "IN", "NOT IN"]),
        ("params.optimizer = ", ["'adam'", '"it\'s"', "'sgd'"]),
        ("params.optimizer = 'a", ["'adam'"]),
        ("params.`a b` = ", ["'1'"]),
        ("status = ", ["'RUNNING'", "'FINISHED'", "'FAILED'", "'KILLED'"]),
        ("user_id = ", ["'alice'"]),
        ("params.optimizer = 'adam' ", ["AND"]),
        ("params.optimizer = 'adam' AND sta", ["status", "start_time", "tags.stage"]),
        ("params.optimizer IS ", ["NULL", "NOT NULL"]),
        ("metrics.loss < 0.5 a", ["AND"]),
        ("metrics.loss < ", []),
        ("what.x", []),
    ],
)  # fmt: skip
def test_what_is_offered(text: str, expected: list[str], project: Project, cast: Cast) -> None:
    found = offered(project, cast.bob, text)
    assert sorted(found) == sorted(expected)


def test_what_is_chosen_replaces_the_word(project: Project, cast: Cast) -> None:
    for text, start in (
        ("metrics.lo", 0),
        ("status = 'FAILED' AND params.`a", 22),
        ("params.optimizer = 'a", 19),
        ("", 0),
    ):
        assert complete(text, project=project, by=cast.bob).start == start


@pytest.mark.parametrize(
    "text", ["metrics.", "params.", "secret", "hush", "params.optimizer = ", "params.secret-p = ", "run_name = "]
)
def test_nothing_of_hidden_runs_is_offered(text: str, project: Project, cast: Cast) -> None:
    assert [word for word in offered(project, cast.bob, text) if "secret" in word or "hush" in word] == []
    assert offered(project, cast.charlie, text) == offered(
        services.create_project("empty", by=cast.charlie), cast.charlie, text
    )


def test_who_may_see_them_is_offered_them(project: Project, cast: Cast) -> None:
    """The control of the test above."""
    assert offered(project, cast.alice, "params.secret") == ["params.secret-p"]
    assert "'hush'" in offered(project, cast.alice, "params.optimizer = ")


def test_times_are_offered_as_milliseconds(project: Project, cast: Cast) -> None:
    found = complete("start_time > ", project=project, by=cast.bob).options
    assert [option.hint for option in found] == ["1 hour ago", "1 day ago", "7 days ago", "30 days ago"]
    assert parse_filter(f"start_time > {found[0].text}")


@given(text=st.one_of(texts, sentences, st.text(), st.just("x" * 5000), st.just("params.\ud800")))
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_is_answered(text: str, project: Project, cast: Cast) -> None:
    found = complete(text, project=project, by=cast.bob)
    assert 0 <= found.start <= len(text)
    assert "hush" not in str(found)
