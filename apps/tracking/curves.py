"""Reading the points of metrics for a chart: never more than it can show.

A series with more points than asked for is cut into equal parts of the x axis. Each part is one row: its last point to
arrive, with the lowest and highest value of all its points, so that no spike is lost. The first and the last x have
parts of their own, so a curve begins and ends where it really does.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connection

from apps.core.errors import Invalid
from apps.tracking.models import MetricSeries, Run

FEWEST_POINTS = 3  # the first, the last, and one between
MOST_POINTS = 10_000
DEFAULT_POINTS = 1_000
MOST_KEYS = 200
MOST_ROWS = 200_000  # of one answer: with many series each gets fewer points

_X = {
    "step": ("step", "step::float8", "series.first_step::float8", "series.last_step::float8"),
    "time": (
        "time",
        "date_part('epoch', time)",
        "date_part('epoch', series.first_time)",
        "date_part('epoch', series.latest_time)",
    ),
}

_WHOLE = """
SELECT series_id, step, floor(date_part('epoch', time) * 1000)::int8, value, nullif(value, 'NaN'), nullif(value, 'NaN')
FROM tracking_metricpoint WHERE series_id = ANY(%(series)s) ORDER BY series_id, {column}, ordinal
"""

_PARTS = """
WITH bounds AS MATERIALIZED (
    SELECT id, {low} AS low, {high} AS high, greatest({high} - {low}, 1e-6) / %(inner)s AS width
    FROM tracking_metricseries AS series WHERE id = ANY(%(series)s)
), parts AS MATERIALIZED (
    SELECT bounds.id, CASE WHEN x <= low THEN 0 WHEN x >= high THEN %(inner)s + 1
            ELSE 1 + least(floor((x - low) / width), %(inner)s - 1) END::int4 AS part,
        min(nullif(value, 'NaN')) AS lowest, max(nullif(value, 'NaN')) AS highest, max(ordinal) AS ordinal
    FROM bounds CROSS JOIN LATERAL (
        SELECT {x} AS x, value, ordinal FROM tracking_metricpoint WHERE series_id = bounds.id
    ) AS points
    GROUP BY bounds.id, part
)
SELECT parts.id, step, floor(date_part('epoch', time) * 1000)::int8, value, lowest, highest
FROM parts JOIN tracking_metricpoint AS points ON points.series_id = parts.id AND points.ordinal = parts.ordinal
ORDER BY parts.id, part
"""

Point = tuple[int, int, float, float | None, float | None]


@dataclass(frozen=True, slots=True)
class Curve:
    """`points` are (step, milliseconds since the epoch, value, min, max), by x; min and max are None if all is NaN."""

    key: str
    points: Sequence[Point]
    count: int
    downsampled: bool


def read_curves(run: Run, *, keys: Sequence[str] = (), points: int = DEFAULT_POINTS, x: str = "step") -> list[Curve]:
    """Return the curves of a run's metrics, by key; of all (at most MOST_KEYS) when none is named. Three queries.

    The caller has judged that the run may be viewed. Raises: Invalid for an unknown x, too many keys or points.
    """
    if x not in _X:
        raise Invalid(errors={"x": ["One of step, time."]})
    if not FEWEST_POINTS <= points <= MOST_POINTS:
        raise Invalid(errors={"points": [f"Between {FEWEST_POINTS} and {MOST_POINTS}."]})
    if len(keys) > MOST_KEYS:
        raise Invalid(errors={"key": [f"At most {MOST_KEYS}."]})
    rows = MetricSeries.objects.filter(run=run, **({"key__in": keys} if keys else {})).order_by("key")
    known = list(rows.values_list("id", "key", "count")[:MOST_KEYS])
    limit = max(FEWEST_POINTS, min(points, MOST_ROWS // max(1, len(known))))
    found = _read(_WHOLE, x, [number for number, _, count in known if count <= limit])
    found |= _read(_PARTS, x, [number for number, _, count in known if count > limit], inner=limit - 2)
    return [Curve(key, found.get(number, []), count, downsampled=count > limit) for number, key, count in known]


def _read(sql: str, x: str, series: list[int], **values: Any) -> dict[int, list[Point]]:
    if not series:
        return {}
    column, expression, low, high = _X[x]
    with connection.cursor() as cursor:
        cursor.execute(sql.format(column=column, x=expression, low=low, high=high), {"series": series, **values})
        rows = cursor.fetchall()
    curves: dict[int, list[Point]] = {}
    for number, *point in rows:
        curves.setdefault(number, []).append(tuple(point))
    return curves
