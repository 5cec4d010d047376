"""What is known of a run's metrics without reading their points."""

from dataclasses import dataclass
from datetime import datetime
from math import isfinite
from typing import Any

from apps.tracking.models import MetricSeries, Run
from apps.tracking.querysets import SHOWN_PER_RUN


@dataclass(frozen=True, slots=True)
class Summary:
    """One metric: its last point (by step, then time), and the extremes of all, which ignore NaN."""

    key: str
    value: float | None
    step: int | None
    time: datetime | None
    min: float | None
    max: float | None
    count: int


def latest_metrics(run: Run) -> list[Summary]:
    """Return the summaries by key: one query, or none when the run was read `with_records`."""
    rows = getattr(run, "shown_series", None)
    if rows is None:
        rows = run.series.order_by("key")[:SHOWN_PER_RUN]
    return [_summary_of(row) for row in rows]


def _summary_of(row: MetricSeries) -> Summary:
    return Summary(row.key, row.last_value, row.last_step, row.last_time, row.min_value, row.max_value, row.count)


def wire(value: float | None) -> Any:
    """Write a float for JSON, which has no non-finite numbers: they travel by name."""
    if value is None or isfinite(value):
        return value
    return {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[repr(value)]
