"""Runs side by side: what differs is told, what is hidden is not, and the cost does not grow with the runs."""

from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.experiments.comparing import MOST, Comparison
from apps.tracking import services as tracking
from apps.tracking.models import Run
from tests.people import Cast, browser_of, fake_cluster, make_cast, submit

PAGE = "/runs/compare/"


@pytest.fixture
def cast(db: None) -> Cast:
    return make_cast()


def make(cast: Cast, name: str, by: str = "alice", tags: dict[str, str] | None = None, **given: Any) -> Run:
    person = cast.people[by]
    project = tracking.find_project("default", by=person, team=None)
    run = tracking.create_run(project, by=person, name=name, tags=tags)
    params = {key: value for key, value in given.items() if isinstance(value, str)}
    metrics = [{"key": key, "value": value} for key, value in given.items() if not isinstance(value, str)]
    tracking.log_batch(run, {"params": params, "metrics": metrics}, by=person)
    return run


def text(cast: Cast, runs: list[Run], query: str = "", by: str = "alice") -> str:
    ids = ",".join(run.pk.hex for run in runs)
    answer = browser_of(cast.people[by]).get(f"{PAGE}?id={ids}{query}")
    assert answer.status_code == 200
    found: str = answer.content.decode()
    return found


def told(runs: list[Run], **options: Any) -> dict[str, list[str]]:
    rows = list(Run.objects.with_details().filter(pk__in=[run.pk for run in runs]).order_by("pk"))
    return {
        section.title.partition(",")[0]: [line.key for line in section.lines]
        for section in Comparison(rows, **options).sections()
    }


def test_only_what_differs_is_told(cast: Cast) -> None:
    long = "x" * 7000
    one = make(
        cast,
        "one",
        lr="0.1",
        same="1",
        only="here",
        long=long + "a",
        loss=0.5,
        flat=1.0,
        odd=float("nan"),
        tags={"k": "a", "s": "s"},
    )
    two = make(cast, "two", lr="0.2", same="1", long=long + "b", loss=0.4, flat=1.0, odd=float("nan"), tags={"k": "b", "s": "s"})  # fmt: skip
    assert told([one, two]) == {"Parameters": ["long", "lr", "only"], "Metrics": ["loss"], "Tags": ["k"]}
    everything = told([one, two], show_all=True)
    assert everything["Parameters"] == ["long", "lr", "only", "same"]
    assert everything["Metrics"] == ["flat", "loss", "odd"]
    assert everything["Setup"] == ["project", "owner"]
    assert told([one, two], text="L") == {"Parameters": ["long", "lr", "only"], "Metrics": ["loss"]}


def test_books_of_trackers_and_of_the_platform_stand_aside(cast: Cast) -> None:
    runs = [
        make(cast, name, tags={"mlflow.source.name": name}, **{"system/cpus": float(number)})
        for number, name in enumerate(("one", "two"))
    ]
    assert told(runs) == {}
    assert told(runs, show_all=True)["Tags"] == ["mlflow.source.name"]
    assert told(runs, show_all=True)["Metrics"] == ["system/cpus"]


def test_what_may_not_be_seen_is_counted_and_not_told(cast: Cast) -> None:
    mine, other = (
        make(cast, "mine", by="charlie", lr="1"),
        make(cast, "sesame", sesame_param="sesame", sesame_metric=7.25),
    )
    gone = make(cast, "forgotten", by="charlie", forgotten="1")
    tracking.archive_run(gone, by=cast.charlie)
    for query in (
        "",
        "&view=scatter&y=metric.sesame_metric",
        "&view=parallel&axes=param.sesame_param",
        "&all=1",
        "&sort=param.sesame_param",
    ):
        page = text(cast, [mine, other, gone, make(cast, "mine-too", by="charlie", lr="2")], query, by="charlie")
        body = page.replace("sesame_metric", "").replace("sesame_param", "")  # what was asked for stands in the address
        assert "sesame" not in body
        assert "7.25" not in body
        assert "forgotten" not in body
        assert "2 left out" in page
        assert "2 runs" in page


def test_a_job_and_a_tracked_run_stand_side_by_side(cast: Cast) -> None:
    fake_cluster()
    job = submit(cast.alice, name="job", command="echo sesame")
    page = text(cast, [job.run, make(cast, "tracked")])
    assert "echo sesame" in page
    assert "state-queued" in page
    assert f'href="/runs/{job.pk}/"' in page


@pytest.mark.parametrize("view", ["", "scatter", "parallel"])
@pytest.mark.parametrize("layout", ["", "rows", "columns"])
def test_the_cost_does_not_grow_with_the_runs(cast: Cast, view: str, layout: str) -> None:
    runs = [make(cast, f"r{n}", lr=str(n), loss=float(n), tags={"k": str(n)}) for n in range(12)]

    def cost(count: int) -> int:
        with CaptureQueriesContext(connection) as queries:
            text(cast, runs[:count], f"&view={view}&layout={layout}&sort=metric.loss")
        return len(queries)

    cost(2)
    assert cost(12) == cost(2) <= 30


def test_at_most_two_hundred(cast: Cast) -> None:
    project = tracking.find_project("default", by=cast.alice, team=None)
    runs = Run.objects.bulk_create(Run(project=project, owner=cast.alice, name=f"r{n}") for n in range(MOST + 5))
    page = text(cast, runs)
    assert "200 runs" in page
    assert "5 left out" in page


def test_what_is_read_is_bounded(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apps.experiments.comparing._MOST_CELLS", 60)
    runs = [make(cast, name, **{f"p{n:02d}": f"{name}{n}" for n in range(50)}) for name in ("one", "two")]
    (section,) = Comparison(runs).sections()
    assert (len(section.lines), section.has_more) == (30, True)
    assert "the first 30 are shown" in text(cast, runs)


def test_runs_are_sorted_by_numbers_words_and_what_is_missing_comes_last(cast: Cast) -> None:
    runs = [make(cast, name, **given) for name, given in (
        ("ten", {"lr": "10", "loss": 1.0, "word": "b"}), ("none", {}), ("two", {"lr": "2", "loss": float("nan"), "word": "a"}),
    )]  # fmt: skip

    def order(by: str) -> list[str]:
        page = text(cast, runs, f"&layout=rows&sort={by}")
        return sorted(("ten", "none", "two"), key=lambda name: page.index(f">{name}</a>"))

    assert order("param.lr") == ["two", "ten", "none"]
    assert order("-param.lr") == ["ten", "two", "none"]
    assert order("param.word") == ["two", "ten", "none"]
    assert order("nothing") == ["ten", "none", "two"]
    assert order("param.absent") == ["ten", "none", "two"]
    order("metric.loss")  # with a NaN among them


@pytest.mark.parametrize(
    "query",
    ["", "?id=", "?id=x", "?id=%00", "?id=7ad367b4-0a96-4ef6-b9f6-82946737f0dc", "?id={one}", "?id={both}&view=nothing", "?id={both}&layout=x",
     "?id={both}&q=%00&all=2", "?id={both}&sort=%00", "?id={both}&view=scatter&x=%00&y=", "?id={both}&view=scatter&x=lr&y=metric.",
     "?id={both}&view=parallel&axes=%00&axes=&axes=tag.k&axes=param.nothing", "?id={both}&view=parallel&axes=" + "a" * 4000,
     "?id={both}&view=parallel" + "&axes=param.lr" * 50, "?id={both}&q=" + "%25_" * 50, "?id={both}&id={both}"],
)  # fmt: skip
@pytest.mark.parametrize("address", [PAGE, "/experiments/compare/"])
def test_no_address_breaks_it(cast: Cast, query: str, address: str) -> None:
    runs = [make(cast, name, lr=name, loss=number) for name, number in (("one", 1.0), ("two", float("inf")))]
    ids = {"one": runs[0].pk, "both": ",".join(str(run.pk) for run in runs)}
    answer = browser_of(cast.alice).get(address + query.format(**ids), follow=True)
    assert answer.status_code == 200


def test_a_request_may_name_two_hundred_runs(cast: Cast) -> None:
    ids = "&".join(f"id={uuid4()}" for _ in range(MOST))
    assert browser_of(cast.alice).get(f"{PAGE}?{ids}").status_code == 200
