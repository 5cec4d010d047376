"""Curves: never more points than asked for, and no spike lost."""

import math
import random
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.test import Client

from apps.core.errors import Invalid
from apps.tracking import curves, services
from apps.tracking.models import MetricSeries, Run
from tests.people import Cast
from tests.tracking.conftest import client_of, log, run_token


def send(run: Run, by: Any, points: list[tuple[Any, ...]], key: str = "loss") -> None:
    for start in range(0, len(points), 10_000):
        part = points[start : start + 10_000]
        columns = {
            name: list(column) for name, column in zip(("value", "step", "time"), zip(*part, strict=True), strict=False)
        }
        services.log_batch(run, {"metrics": {"key": [key] * len(part), **columns}}, by=by)


def one(run: Run, **options: Any) -> services.Curve:
    (curve,) = services.read_curves(run, **options)
    return curve


def test_a_short_series_is_shown_whole(cast: Cast, run: Run) -> None:
    log(run, cast.alice, (0.5, 10, 3000), ("NaN", 0, 1000), ("Infinity", 5, 2000))
    curve = one(run)
    assert (curve.key, curve.count, curve.downsampled) == ("loss", 3, False)
    assert curve.points[0][:2] == (0, 1000)
    assert math.isnan(curve.points[0][2])
    assert curve.points[0][3:] == (None, None)
    assert curve.points[1:] == [(5, 2000, math.inf, math.inf, math.inf), (10, 3000, 0.5, 0.5, 0.5)]


@pytest.mark.parametrize("points", [3, 10, 100, 1000])
def test_no_more_points_than_asked_for(cast: Cast, run: Run, points: int) -> None:
    send(run, cast.alice, [(math.sin(n), n, n) for n in range(5000)])
    curve = one(run, points=points)
    assert len(curve.points) == points
    assert (curve.count, curve.downsampled) == (5000, True)
    assert curve.points[0][:3] == (0, 0, 0.0)
    assert curve.points[-1][:3] == (4999, 4999, math.sin(4999))
    steps = [point[0] for point in curve.points]
    assert steps == sorted(set(steps))


@pytest.mark.parametrize("x", ["step", "time"])
def test_a_spike_survives(cast: Cast, run: Run, x: str) -> None:
    values = [1.0] * 5000
    values[1234], values[4321] = 99.0, -99.0
    send(run, cast.alice, [(value, n, 1_700_000_000_000 + n * 10) for n, value in enumerate(values)])
    curve = one(run, points=50, x=x)
    assert max(point[4] or 0 for point in curve.points) == 99.0
    assert min(point[3] or 0 for point in curve.points) == -99.0
    spiked = [point for point in curve.points if point[4] == 99.0]
    assert len(spiked) == 1
    assert abs(spiked[0][0] - 1234) <= 5000 / 48


def test_every_part_has_the_extremes_of_its_own_points(cast: Cast, run: Run) -> None:
    dice = random.Random(1)
    values = [dice.random() for _ in range(3000)]
    send(run, cast.alice, [(value, n, n) for n, value in enumerate(values)])
    start = 0
    for step, time, value, low, high in one(run, points=20).points:
        part = values[start : step + 1]
        assert (time, value, low, high) == (step, values[step], min(part), max(part))
        start = step + 1
    assert start == 3000


def test_points_may_arrive_in_any_order(cast: Cast, run: Run) -> None:
    steps = list(range(4000))
    random.Random(2).shuffle(steps)
    send(run, cast.alice, [(step / 10, step, step) for step in steps])
    curve = one(run, points=40)
    shown = [point[0] for point in curve.points]
    assert shown == sorted(shown)
    assert (shown[0], shown[-1], len(shown)) == (0, 3999, 40)
    assert max(point[4] or 0 for point in curve.points) == 399.9


def test_nan_does_not_hide_the_rest(cast: Cast, run: Run) -> None:
    send(run, cast.alice, [("NaN" if n % 2 else n, n, n) for n in range(3000)])
    curve = one(run, points=30)
    assert max(point[4] for point in curve.points[:-1] if point[4] is not None) >= 2900
    assert any(math.isnan(point[2]) for point in curve.points)
    send(run, cast.alice, [("NaN", n, n) for n in range(3000)], key="all")
    assert {point[3:] for point in one(run, keys=["all"], points=30).points} == {(None, None)}


def test_infinity_is_an_extreme(cast: Cast, run: Run) -> None:
    send(run, cast.alice, [("-Infinity" if n == 1500 else "Infinity" if n == 700 else 1, n, n) for n in range(3000)])
    curve = one(run, points=30)
    assert {point[4] for point in curve.points} == {1.0, math.inf}
    assert {point[3] for point in curve.points} == {1.0, -math.inf}


@pytest.mark.parametrize("x", ["step", "time"])
def test_many_points_at_one_x(cast: Cast, run: Run, x: str) -> None:
    send(run, cast.alice, [(n, 7, 7000) for n in range(2000)])
    assert one(run, points=10, x=x).points == [(7, 7000, 1999.0, 0.0, 1999.0)]


@pytest.mark.parametrize("base", [(1 << 63) - 2001, -(1 << 63), (1 << 53) - 1000])
def test_steps_that_a_float_cannot_tell_apart(cast: Cast, run: Run, base: int) -> None:
    send(run, cast.alice, [(n, base + n, n) for n in range(2000)])
    curve = one(run, points=10)
    assert 1 <= len(curve.points) <= 10
    assert max(point[4] or 0 for point in curve.points) == 1999.0


def test_the_whole_range_of_steps(cast: Cast, run: Run) -> None:
    ends = [(1.0, -(1 << 63), 0), (2.0, (1 << 63) - 1, 1)]
    send(run, cast.alice, [*ends, *[(0.5, n, n) for n in range(2000)]])
    curve = one(run, points=5)
    assert [point[0] for point in curve.points[:1]] == [-(1 << 63)]
    assert curve.points[-1][0] == (1 << 63) - 1


def test_several_series_in_three_queries(cast: Cast, run: Run, django_assert_num_queries: Any) -> None:
    for number in range(5):
        send(run, cast.alice, [(n * number, n, n) for n in range(1500 if number % 2 else 20)], key=f"m{number}")
    with django_assert_num_queries(3):
        found = services.read_curves(run, points=100)
    assert [curve.key for curve in found] == ["m0", "m1", "m2", "m3", "m4"]
    assert [len(curve.points) for curve in found] == [20, 100, 20, 100, 20]
    with django_assert_num_queries(2):
        assert [curve.key for curve in services.read_curves(run, keys=["m3", "m1", "none"])] == ["m1", "m3"]


def test_many_series_share_the_rows(cast: Cast, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(curves, "MOST_ROWS", 40)
    for number in range(4):
        send(run, cast.alice, [(n, n, n) for n in range(50)], key=f"m{number}")
    assert [len(curve.points) for curve in services.read_curves(run, points=1000)] == [10] * 4


def test_another_runs_series_is_not_shown(cast: Cast, run: Run) -> None:
    other = services.create_run(run.project, by=cast.alice, name="other")
    log(other, cast.alice, (1, 0), key="secret")
    log(run, cast.alice, (1, 0))
    assert [curve.key for curve in services.read_curves(run, keys=["secret", "loss"])] == ["loss"]
    assert MetricSeries.objects.count() == 2


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"x": "epoch"}, "x"),
        ({"points": 2}, "points"),
        ({"points": 10_001}, "points"),
        ({"keys": [str(n) for n in range(201)]}, "key"),
    ],
)
def test_what_cannot_be_asked(run: Run, options: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as caught:
        services.read_curves(run, **options)
    assert list(caught.value.errors) == [field]


def test_the_summary_needs_one_query(cast: Cast, run: Run, django_assert_num_queries: Any) -> None:
    log(run, cast.alice, (1, 0), (2, 1), key="a")
    log(run, cast.alice, (3, 0), key="b")
    with django_assert_num_queries(1):
        found = services.latest_metrics(run)
    assert [(one.key, one.value, one.step, one.min, one.max, one.count) for one in found] == [
        ("a", 2.0, 1, 1.0, 2.0, 2),
        ("b", 3.0, 0, 3.0, 3.0, 1),
    ]


def many(run: Run, by: Any, count: int, points: int = 3) -> list[UUID]:
    """Runs beside this one, each with its number as the value of all its points."""
    made = [services.create_run(run.project, by=by, name=f"r{number}") for number in range(count)]
    for number, one in enumerate(made):
        send(one, by, [(number, n, n) for n in range(points)])
    return [one.pk for one in made]


@pytest.mark.parametrize("count", [2, 20])
def test_curves_of_several_runs_in_a_constant_number_of_queries(
    cast: Cast, run: Run, count: int, django_assert_num_queries: Any
) -> None:
    runs = many(run, cast.alice, count)
    send(run, cast.alice, [(-1, n, n) for n in range(500)])
    with django_assert_num_queries(3):
        found = services.read_curves_of([run.pk, *runs], keys=["loss"], points=50)
    assert list(found) == [run.pk, *runs]
    assert [{point[2] for point in found[pk][0].points} for pk in runs] == [{float(n)} for n in range(count)]
    assert (len(found[run.pk][0].points), found[run.pk][0].downsampled) == (50, True)


def test_many_runs_share_the_rows(cast: Cast, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(curves, "MOST_ROWS", 40)
    runs = many(run, cast.alice, 4, points=50)
    found = services.read_curves_of(runs, keys=["loss"], points=1000)
    assert [len(found[pk][0].points) for pk in runs] == [10] * 4


@pytest.mark.parametrize("x", ["step", "time"])
def test_of_very_many_points_some_stand_for_all(
    cast: Cast, run: Run, x: str, monkeypatch: pytest.MonkeyPatch, django_assert_num_queries: Any
) -> None:
    monkeypatch.setattr(curves, "MOST_READ", 1000)
    runs = many(run, cast.alice, 3, points=500)
    send(run, cast.alice, [(-1, n, n) for n in range(20)])
    with django_assert_num_queries(3):
        found = services.read_curves_of([*runs, run.pk], keys=["loss"], points=50, x=x)
    for number, pk in enumerate(runs):
        (curve,) = found[pk]
        assert (len(curve.points), curve.count, curve.downsampled, curve.sampled) == (50, 500, True, True)
        assert (curve.points[0][:3], curve.points[-1][:3]) == ((0, 0, number), (499, 499, number))
        assert [point[0] for point in curve.points] == sorted({point[0] for point in curve.points})
    assert [(len(curve.points), curve.sampled) for curve in found[run.pk]] == [(20, False)]


@pytest.mark.parametrize(("runs", "keys", "field"), [(1, 0, "key"), (201, 1, "run"), (50, 5, "run"), (1, 201, "key")])
def test_what_cannot_be_asked_of_several(runs: int, keys: int, field: str) -> None:
    with pytest.raises(Invalid) as caught:
        services.read_curves_of([uuid4() for _ in range(runs)], keys=[str(n) for n in range(keys)])
    assert list(caught.value.errors) == [field]


def test_the_api_leaves_out_what_may_not_be_seen(cast: Cast, run: Run) -> None:
    log(run, cast.alice, (0.25, 0))
    own = services.create_run(services.create_project("own", by=cast.charlie), by=cast.charlie, name="own")
    log(own, cast.charlie, (0.5, 0))
    gone = services.create_run(own.project, by=cast.charlie, name="gone")
    log(gone, cast.charlie, (0.75, 0))
    services.archive_run(gone, by=cast.charlie)
    path = f"/api/v2/runs/curves/?key=loss&run={own.pk},{run.pk.hex}&run={gone.pk}&run={own.pk}&run={uuid4()}"
    body = client_of(cast.charlie).get(path).json()
    assert [(one["id"], one["series"][0]["points"][0][2]) for one in body["runs"]] == [(str(own.pk), 0.5)]
    assert body["left_out"] == 3
    assert "0.25" not in str(body)
    assert "0.75" not in str(body)


def test_the_api_shows_a_job_its_own_run_only(cast: Cast, run: Run) -> None:
    other = services.create_run(run.project, by=cast.alice, name="other")
    for one in (run, other):
        log(one, cast.alice, (1, 0))
    client = Client(headers={"Authorization": f"Bearer {run_token(run)}"})
    body = client.get(f"/api/v2/runs/curves/?key=loss&run={run.pk},{other.pk}").json()
    assert ([one["id"] for one in body["runs"]], body["left_out"]) == ([str(run.pk)], 1)


@pytest.mark.parametrize(
    "query",
    ["", "key=loss", "run=x&key=loss", "run={run}", "run={run}&key=a%00", "run={run}&key=loss&points=1",
     "run={run}&key=loss&points=x", "run={run}&key=loss&x=epoch", "run=%00&key=loss", "run=,,&key=loss",
     "key=loss&run=" + ",".join(["0" * 32] * 201)],
)  # fmt: skip
def test_the_api_says_what_is_wrong(cast: Cast, run: Run, query: str) -> None:
    answer = client_of(cast.alice).get(f"/api/v2/runs/curves/?{query.format(run=run.pk)}")
    assert answer.status_code == 400
    assert answer.json()["errors"]
