"""Reading the points of metrics for a chart: never more than it can show.

A series with more points than asked for is cut into equal parts of the x axis. Each part is one row: its last point to
arrive, with the lowest and highest value of all its points, so that no spike is lost. The first and the last x have
parts of their own, so a curve begins and ends where it really does.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection

from apps.core.errors import Invalid
from apps.tracking.models import MetricSeries, Run

FEWEST_POINTS = 3  # the first, the last, and one between
MOST_POINTS = 10_000
DEFAULT_POINTS = 1_000
MOST_KEYS = 200
MOST_CURVES = 200  # of several runs
MOST_READ = 1_000_000  # points of several runs that are read for one answer; of more, some are taken
MOST_ROWS = 200_000  # of one answer: with many series each gets fewer points
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# Per x axis: the column, and the number by which it is measured.
_X = {"step": ("step", "step::float8"), "time": ("time", "date_part('epoch', time)")}

_WHOLE = """
SELECT series_id, step, round(date_part('epoch', time) * 1000)::int8, value, nullif(value, 'NaN'), nullif(value, 'NaN')
FROM tracking_metricpoint WHERE series_id = ANY(%(series)s) ORDER BY series_id, {column}, ordinal
"""

# width_bucket answers 0 below its range and count + 1 from its end on: the parts of the first and the last x.
_PART = """
SELECT {series} AS series, width_bucket({x}, {low!r}, {high!r}, {count}) AS part, max(ordinal) AS ordinal,
    min(nullif(value, 'NaN')) AS lowest, max(nullif(value, 'NaN')) AS highest
FROM tracking_metricpoint WHERE series_id = {series} GROUP BY part
"""

# LIMIT keeps the planner from reading all points a second time for the thousand that are shown.
_SHOWN = """
SELECT series, step, round(date_part('epoch', time) * 1000)::int8, value, lowest, highest FROM ({parts}) AS parts
CROSS JOIN LATERAL (
    SELECT step, time, value FROM tracking_metricpoint AS points
    WHERE points.series_id = parts.series AND points.ordinal = parts.ordinal LIMIT 1
) AS shown
ORDER BY series, part
"""

# Ordinals count arrivals without a gap, so some of them, evenly spaced, are found without reading the others.
_SAMPLED = """
SELECT series, step, round(date_part('epoch', time) * 1000)::int8, value, nullif(value, 'NaN'), nullif(value, 'NaN')
FROM unnest(%(series)s::int8[], %(counts)s::int8[]) AS wanted(series, count)
CROSS JOIN generate_series(0, %(points)s - 1) AS part
CROSS JOIN LATERAL (
    SELECT step, time, value, ordinal FROM tracking_metricpoint AS points
    WHERE points.series_id = wanted.series AND points.ordinal = (wanted.count - 1) * part / (%(points)s - 1) LIMIT 1
) AS shown
ORDER BY series, {column}, ordinal
"""

Point = tuple[int, int, float, float | None, float | None]


@dataclass(frozen=True, slots=True)
class Curve:
    """`points` are (step, milliseconds since the epoch, value, min, max), by x; min and max are None if all is NaN.

    `sampled`: some points stand for all, and a spike between them is not seen.
    """

    key: str
    points: Sequence[Point]
    count: int
    downsampled: bool
    sampled: bool = False


def read_curves(run: Run, *, keys: Sequence[str] = (), points: int = DEFAULT_POINTS, x: str = "step") -> list[Curve]:
    """Return the curves of a run's metrics, by key; of all (at most MOST_KEYS) when none is named. Three queries.

    The caller has judged that the run may be viewed. Raises: Invalid for an unknown x, too many keys or points.
    """
    _require(keys, points, x)
    rows = MetricSeries.objects.filter(run=run, **({"key__in": keys} if keys else {})).order_by("key")
    return [curve for _, curve in _read(list(rows[:MOST_KEYS]), points, x)]


def read_curves_of(
    runs: Sequence[UUID], *, keys: Sequence[str], points: int = DEFAULT_POINTS, x: str = "step"
) -> dict[UUID, list[Curve]]:
    """Return the curves of several runs, to be drawn over each other. Three queries, however many runs.

    Of more than MOST_READ points only some are looked at: two hundred long runs are to be seen at once, too.
    The caller has judged that each may be viewed. Raises: Invalid, also for more than MOST_CURVES runs times keys.
    """
    _require(keys, points, x)
    if not keys:
        raise Invalid(errors={"key": ["Name a metric."]})
    if len(runs) * len(keys) > MOST_CURVES:
        raise Invalid(errors={"run": [f"Runs times metrics: at most {MOST_CURVES}."]})
    rows = MetricSeries.objects.filter(run__in=runs, key__in=keys).order_by("run_id", "key")
    found: dict[UUID, list[Curve]] = {run: [] for run in runs}
    for row, curve in _read(list(rows), points, x, budget=MOST_READ):
        found[row.run_id].append(curve)
    return found


def _require(keys: Sequence[str], points: int, x: str) -> None:
    if x not in _X:
        raise Invalid(errors={"x": ["One of step, time."]})
    if not FEWEST_POINTS <= points <= MOST_POINTS:
        raise Invalid(errors={"points": [f"Between {FEWEST_POINTS} and {MOST_POINTS}."]})
    if len(keys) > MOST_KEYS:
        raise Invalid(errors={"key": [f"At most {MOST_KEYS}."]})


def _read(
    known: Sequence[MetricSeries], points: int, x: str, *, budget: int | None = None
) -> list[tuple[MetricSeries, Curve]]:
    limit = max(FEWEST_POINTS, min(points, MOST_ROWS // max(1, len(known))))
    small = [row.pk for row in known if row.count <= limit]
    large = [row for row in known if row.count > limit]
    sampled = budget is not None and sum(row.count for row in large) > budget
    found = _rows(_WHOLE.format(column=_X[x][0]), {"series": small}) if small else {}
    if large and sampled:
        given = {"series": [row.pk for row in large], "counts": [row.count for row in large], "points": limit}
        found |= _rows(_SAMPLED.format(column=_X[x][0]), given)
    elif large:
        parts = [_part(row, x, limit - 2) for row in large]
        found |= _rows(_SHOWN.format(parts=" UNION ALL ".join(parts)), None)
    return [
        (row, Curve(row.key, found.get(row.pk, []), row.count, row.count > limit, sampled and row.count > limit))
        for row in known
    ]


def _part(row: MetricSeries, x: str, count: int) -> str:
    """Return the SQL that cuts one series; made of numbers only."""
    low, high = (
        (row.first_step, row.last_step) if x == "step" else (_seconds(row.first_time), _seconds(row.latest_time))
    )
    begin = float(low or 0) + (0.5 if x == "step" else 1e-6)  # behind the first x, before the next that there can be
    end = float(high or 0)
    if end <= begin:  # one x, or several that a float cannot tell apart
        end = begin + max(1.0, abs(begin) * 1e-9)
    return _PART.format(series=int(row.pk), x=_X[x][1], low=begin, high=end, count=count)


def _seconds(time: datetime | None) -> float:
    return 0.0 if time is None else (time - _EPOCH) / timedelta(seconds=1)


def _rows(sql: str, values: Mapping[str, Any] | None) -> dict[int, list[Point]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        rows = cursor.fetchall()
    curves: dict[int, list[Point]] = {}
    for number, *point in rows:
        curves.setdefault(number, []).append(tuple(point))
    return curves
