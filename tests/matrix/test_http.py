"""Route by person: one table, one expectation computed from the policies, for every page and API operation."""

from uuid import uuid4

import orjson
import pytest

from apps.access import policy
from apps.access.decision import Decision
from tests.architecture.routes import routes
from tests.matrix import asking
from tests.matrix.judged import OUTSIDE, PEOPLE, TOKENS, expected_api, expected_page
from tests.matrix.table import API, PAGES, Row
from tests.matrix.table_mlflow import MLFLOW
from tests.matrix.world import NONE, ROLES, SECRET, World

pytestmark = pytest.mark.django_db  # the database is set up for tests that carry the mark

EVERYBODY = (*OUTSIDE, *PEOPLE, *TOKENS)
LISTS = ("api-experiment-list", "api-run-list")


def _id(row: Row) -> str:
    return row.key


def test_the_table_knows_every_route_and_no_other() -> None:
    served = {f"{route.method} {route.name}" for route in routes() if route.door in {"page", "api"}}
    assert {row.key for row in (*PAGES, *API, *MLFLOW)} == served


def test_the_table_names_each_route_once() -> None:
    keys = [row.key for row in (*PAGES, *API, *MLFLOW)]
    assert len(keys) == len(set(keys))


@pytest.mark.parametrize("row", PAGES, ids=_id)
def test_page(row: Row, world: World) -> None:
    found = {name: asking.ask(asking.as_browser(world, name), row, world)[0] for name in EVERYBODY}
    assert found == expected_page(row)


@pytest.mark.parametrize("row", [*API, *MLFLOW], ids=_id)
def test_operation_by_token(row: Row, world: World) -> None:
    found = {name: asking.ask(asking.as_script(world, name), row, world)[0] for name in EVERYBODY}
    assert found == expected_api(row)


@pytest.mark.parametrize("row", [*API, *MLFLOW], ids=_id)
def test_operation_by_session(row: Row, world: World) -> None:
    people = (*OUTSIDE, "alice", "bob", "charlie")  # who is judged how does not depend on how he logged in
    found = {name: asking.ask(asking.as_browser(world, name), row, world)[0] for name in people}
    expected = {name: 401 if row.token_only else code for name, code in expected_api(row).items()}
    assert found == {name: expected[name] for name in people}


HIDEABLE = [
    row
    for row in (*PAGES, *API)
    if row.model and ROLES[row.role]["charlie"] is NONE and "charlie" not in row.but  # named in the body: its own test
]


@pytest.mark.parametrize("row", HIDEABLE, ids=_id)
def test_what_may_not_be_seen_looks_like_what_does_not_exist(row: Row, world: World) -> None:
    """charlie gets the same answer, byte for byte, for alice's object and for none; and nothing of hers is in it."""
    client = asking.as_script(world, "charlie") if row.token_only else asking.as_browser(world, "charlie")
    hidden = asking.ask(client, row, world)
    nothing = asking.ask(client, row, world, **{name: _other(value) for name, value in row.names(world).items()})
    assert hidden[0] == nothing[0] == 404
    assert asking.without_ids(hidden[1]) == asking.without_ids(nothing[1])
    assert SECRET.encode() not in hidden[1]


@pytest.mark.parametrize("row", [row for row in MLFLOW if row.model], ids=_id)
def test_mlflows_client_cannot_tell_what_is_hidden_either(row: Row, world: World) -> None:
    """Here objects are named in the body: for charlie an answer differs by the id that he sent himself, and by nothing."""
    client = asking.as_script(world, "charlie")
    hidden = asking.ask(client, row, world)
    nothing = asking.ask(client, row.of_nothing(), world)
    assert hidden[0] == nothing[0] == 404
    assert row.without_names(hidden[1], world) == row.of_nothing().without_names(nothing[1], world)
    assert SECRET.encode() not in hidden[1]


def _other(value: object) -> object:
    """Return a value of the same form that names nothing."""
    if isinstance(value, int):
        return 10**9
    if isinstance(value, str):
        return f"sha256:{'0' * 64}" if value.startswith("sha256:") else "no-such-thing"
    return uuid4()


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize("person", PEOPLE)
def test_lists_hold_exactly_what_may_be_seen(name: str, person: str, world: World) -> None:
    """Equality, not membership: nothing that may be seen is missing, nothing else is there."""
    row = next(row for row in API if row.key == f"GET {name}")
    _, body = asking.ask(asking.as_script(world, person), row, world)
    visible = {pk for pk, role in world.experiments.items() if ROLES[role][person] is not NONE}
    assert {found["id"] for found in orjson.loads(body)["results"]} == visible


@pytest.mark.parametrize("name", LISTS)
def test_lists_of_narrow_tokens(name: str, world: World) -> None:
    row = next(row for row in API if row.key == f"GET {name}")
    found = {
        token: {one["id"] for one in orjson.loads(asking.ask(asking.as_script(world, token), row, world)[1])["results"]}
        for token in TOKENS
    }
    assert found == {"reader": set(world.experiments), "job": {str(world.ended.pk)}, "stray": {str(world.private.pk)}}


@pytest.mark.parametrize("row", [row for row in PAGES if row.method == "GET" and not row.model], ids=_id)
@pytest.mark.parametrize("person", ["charlie", "anonymous", "ivan"])
def test_no_page_without_an_object_shows_alices(row: Row, person: str, world: World) -> None:
    _, body = asking.ask(asking.as_browser(world, person), row, world)
    shown = body.replace(f"public {SECRET}".encode(), b"") if person == "charlie" else body
    assert str(world.ended.pk).encode() not in shown
    assert str(world.private.pk).encode() not in shown


@pytest.mark.parametrize(
    ("key", "seen"), [("GET experiment", 200), ("GET api-experiment-detail", 200), ("POST api-experiment-stop", 202)]
)
def test_the_matrix_sees_a_judge_that_lets_everybody_pass(
    key: str, seen: int, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control run: without the policy charlie is let in, so the expectation above can fail."""
    monkeypatch.setattr(policy, "visible", lambda rows, _principal, _action: rows)
    monkeypatch.setattr(policy, "decide", lambda _principal, _action, _obj: Decision(allowed=True, reason=""))
    row = next(row for row in (*PAGES, *API) if row.key == key)
    assert asking.ask(asking.as_browser(world, "charlie"), row, world)[0] == seen != 404
