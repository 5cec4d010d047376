"""Pictures and tables by step: found by the names clients give them, shown as they were, whatever is in them."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.tracking import frames, services
from apps.tracking.models import Artifact, Run
from tests.people import Cast, browser_of

UUID = "4a0c6e1e-0000-4000-8000-00000000000{}"


def keep(run: Run, cast: Cast, path: str, data: bytes = b"x") -> None:
    services.save_artifact(run, path, [data], by=cast.alice)


def name(
    key: str, step: int, suffix: str = "png", by: str = "+", time: int = 1000, number: int = 1, folder: str = "images"
) -> str:
    return f"{folder}/{key}{by}step{by}{step}{by}timestamp{by}{time}{by}{UUID.format(number)}.{suffix}"


def small(path: str, by: str = "+") -> str:
    return f"{path.rpartition('.')[0]}{by}compressed.webp"


@pytest.mark.parametrize(("by", "slash"), [("+", "~"), ("+", "#"), ("%", "#")])
def test_pictures_are_found_by_the_names_of_every_client(cast: Cast, run: Run, by: str, slash: str) -> None:
    for step in (10, 2, 2):
        path = name(f"dir{slash}sample one", step, by=by, number=step % 7, time=step)
        keep(run, cast, path)
        keep(run, cast, small(path, by))
    (found,) = services.list_media(run)
    assert (found.kind, found.key) == ("image", "dir/sample one")
    assert [frame.step for frame in found.frames] == [2, 10]
    assert found.frames[1].path == name(f"dir{slash}sample one", 10, by=by, number=3, time=10)
    assert found.frames[1].small == small(found.frames[1].path, by)
    assert [found.at(step).step for step in (None, 1, 2, 9, 10, 11)] == [10, 2, 2, 2, 10, 10]


def test_what_only_looks_like_one_stands_aside(cast: Cast, run: Run) -> None:
    for path in ("images/plain.png", "images/a+step+x+timestamp+1+u.png", "images/sub/" + name("k", 1), name("k", 1, "html"),
                 name("k", 1, "png", folder="tables"), "other/" + name("k", 1), small(name("alone", 1))):  # fmt: skip
        keep(run, cast, path)
    assert services.list_media(run) == []
    assert "No pictures and no tables yet" in browser_of(cast.bob).get(f"/runs/{run.pk}/media/").content.decode()


def test_tables_of_both_clients(cast: Cast, run: Run) -> None:
    keep(
        run,
        cast,
        "eval/answers.json",
        json.dumps(
            {
                "columns": ["q", "picture"],
                "data": [
                    ["why?", {"type": "image", "filepath": "t/a.png", "compressed_filepath": "t/a.webp"}],
                    [None, {"k": 1}],
                ],
            }
        ).encode(),
    )
    keep(
        run,
        cast,
        name("errors", 3, "json", folder="tables"),
        json.dumps([{"word": "one", "count": 1}, {"word": "two"}]).encode(),
    )
    listed = [
        {"path": "eval/answers.json", "type": "table"},
        {"path": "gone.json", "type": "table"},
        {"path": "../x.json", "type": "table"},
        7,
    ]
    services.log_batch(run, {"tags": {frames.LOGGED: json.dumps(listed)}}, by=cast.alice)
    ours, theirs = services.list_media(run)
    assert [(one.kind, one.key) for one in (ours, theirs)] == [("table", "errors"), ("table", "eval/answers.json")]
    table = services.read_table(run, theirs.frames[0].path)
    assert [[(cell.text, cell.picture) for cell in row] for row in table.rows] == [
        [("why?", ""), ("t/a.webp", "t/a.webp")],
        [("", ""), ('{"k": 1}', "")],
    ]
    assert [[cell.text for cell in row] for row in services.read_table(run, ours.frames[0].path).rows] == [
        ["one", "1"],
        ["two", ""],
    ]


@pytest.mark.parametrize(
    "said", ["", "{", "{}", "null", "7", '[{"type": "table"}]', '[{"type": "table", "path": 1}]', "[" * 5000]
)
def test_a_tag_that_is_no_list_breaks_nothing(cast: Cast, run: Run, said: str) -> None:
    services.log_batch(run, {"tags": {frames.LOGGED: said}}, by=cast.alice)
    assert services.list_media(run) == []
    assert browser_of(cast.alice).get(f"/runs/{run.pk}/media/").status_code == 200


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[1]", b"7", b"null", b'{"columns": 1, "data": 2}', b'{"columns": ["a"]}', b"\xff\xfe", b"[" * 100_000, b"1" * 9000]
)  # fmt: skip
def test_what_is_no_table_is_said(cast: Cast, run: Run, data: bytes) -> None:
    path = name("bad", 1, "json", folder="tables")
    keep(run, cast, path, data)
    assert services.read_table(run, path).problem == "It is no table."
    assert "It is no table." in browser_of(cast.bob).get(f"/runs/{run.pk}/media/").content.decode()


_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(columns=st.lists(_JSON, max_size=4), data=st.lists(_JSON, max_size=4))
def test_any_table_is_shown(cast: Cast, run: Run, columns: list[Any], data: list[Any]) -> None:
    text = json.dumps(
        {"columns": [*columns, "\ud800"], "data": [*data, ["\ud800", {"type": "image", "filepath": "../up"}]]}
    )
    keep(run, cast, name("any", 1, "json", folder="tables"), text.encode())
    assert browser_of(cast.bob).get(f"/runs/{run.pk}/media/").status_code == 200


def test_much_is_cut_and_said(cast: Cast, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    path = name("long", 1, "json", folder="tables")
    keep(run, cast, path, json.dumps({"columns": ["n"] * 60, "data": [list(range(60))] * 300}).encode())
    table = services.read_table(run, path)
    assert (len(table.rows), len(table.rows[0]), len(table.columns)) == (200, 50, 50)
    assert table.problem == "200 of 300 rows are shown."
    monkeypatch.setattr(frames, "LARGEST_TABLE", 100)
    assert services.read_table(run, path).problem == "It is too large to be shown. Download it."
    Artifact.objects.filter(path=path).update(sha256="0" * 64, size_bytes=3)
    assert services.read_table(run, path).problem == "Its bytes are missing from the store."
    assert services.read_table(run, "nothing.json").problem == "The file is gone."


def test_the_page_shows_the_step_that_is_asked_for(cast: Cast, run: Run) -> None:
    for step in (0, 5, 9):
        keep(run, cast, name("sample", step, number=step))
    keep(run, cast, name("other", 5))
    client = browser_of(cast.bob)

    def shown(query: str) -> list[str]:
        page = client.get(f"/runs/{run.pk}/media/{query}").content.decode()
        return [
            key
            for key in ("sample at step 0", "sample at step 5", "sample at step 9", "other at step 5")
            if f'alt="{key}"' in page
        ]

    assert shown("") == ["sample at step 9", "other at step 5"]
    assert shown("?at=0") == ["sample at step 0", "other at step 5"]
    assert shown("?at=1") == ["sample at step 5", "other at step 5"]
    for strange in ("?at=99", "?at=-1", "?at=x", "?at=%00", "?at=" + "9" * 400):
        assert shown(strange) == ["sample at step 9", "other at step 5"], strange


def test_pictures_come_from_the_content_origin_only(cast: Cast, run: Run, settings: Any) -> None:
    keep(run, cast, name("sample", 1))
    page = browser_of(cast.bob).get(f"/runs/{run.pk}/media/").content.decode()
    assert f'<img src="{settings.FATHOM_CONTENT_URL}/artifacts/{run.pk}/images/' in page
    assert page.count("<img ") == 1


def test_nobody_else_sees_them(cast: Cast, run: Run) -> None:
    keep(run, cast, name("sesame", 1))
    answer = browser_of(cast.charlie).get(f"/runs/{run.pk}/media/")
    assert answer.status_code == 404
    assert b"sesame" not in answer.content


def test_a_table_without_steps_adds_none(cast: Cast, run: Run) -> None:
    keep(run, cast, "answers.json", b'{"columns": ["a"], "data": [["one"]]}')
    services.log_batch(run, {"tags": {frames.LOGGED: '[{"path": "answers.json", "type": "table"}]'}}, by=cast.alice)
    client = browser_of(cast.bob)
    alone = client.get(f"/runs/{run.pk}/media/")
    assert alone.context["steps"] == []
    assert b"<td>one</td>" in alone.content
    for step in (4, 5):
        keep(run, cast, name("sample", step, number=step))
    first = client.get(f"/runs/{run.pk}/media/?at=0")
    assert (first.context["steps"], first.context["step"]) == ([4, 5], 4)
    assert b"<td>one</td>" in first.content


def test_two_queries_however_many(cast: Cast, run: Run, django_assert_num_queries: Any) -> None:
    for step in range(6):
        keep(run, cast, name(f"k{step % 2}", step, number=step))
    with django_assert_num_queries(2):
        assert [len(one.frames) for one in services.list_media(run)] == [3, 3]
