"""The points of metrics: whole, and thinned out."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import orjson
from django.db import connection

from apps.audit.services import refused
from apps.core.errors import Invalid
from apps.core.texts import wrong
from apps.mlflow import pages
from apps.mlflow.calls import Call, absent
from apps.mlflow.finding import run_of
from apps.mlflow.routing import answers
from apps.tracking.language.runs import is_hex
from apps.tracking.models import Run
from apps.tracking.summaries import wire

MOST_POINTS = 25_000  # of the answers that are about many runs
MOST_PER_RUN = 2_500
MOST_RUNS = 100
_MOST_IN_A_PAGE = 1_000_000
_TIME = "round(date_part('epoch', time) * 1000)::int8"

_HISTORY = f"""
SELECT point.value, {_TIME}, point.step FROM tracking_metricpoint AS point
JOIN tracking_metricseries AS series ON series.id = point.series_id
WHERE series.run_id = %(run)s AND series.key = %(key)s ORDER BY time, step, value LIMIT %(limit)s OFFSET %(offset)s
"""  # noqa: S608 -- built from constants
_BULK = f"""
SELECT series.run_id, value, {_TIME}, step FROM tracking_metricpoint AS point
JOIN tracking_metricseries AS series ON series.id = point.series_id
WHERE series.run_id = ANY(%(runs)s) AND series.key = %(key)s ORDER BY series.run_id, time, step, value LIMIT %(limit)s
"""  # noqa: S608 -- as above
# Of `total` points `most` remain, evenly by their place, the first and the last among them.
_THINNED = f"""
SELECT run_id, value, {_TIME}, step FROM (
    SELECT series.run_id, value, time, step,
        row_number() OVER (PARTITION BY series.run_id ORDER BY step, time, value) - 1 AS place,
        count(*) OVER (PARTITION BY series.run_id) AS total
    FROM tracking_metricpoint AS point JOIN tracking_metricseries AS series ON series.id = point.series_id
    WHERE series.run_id = ANY(%(runs)s) AND series.key = %(key)s AND step BETWEEN %(first)s AND %(last)s
) AS points
WHERE total <= %(most)s OR place = total - 1
    OR %(most)s > 1 AND (place = 0 OR place * (%(most)s - 1) / (total - 1) > (place - 1) * (%(most)s - 1) / (total - 1))
ORDER BY run_id, step, time, value
"""  # noqa: S608 -- as above


@answers("GET", "metrics/get-history", judged="run:view")
def history(call: Call) -> bytes:
    """Return the points of a metric by time: all, or a page of `max_results`."""
    run, key = run_of(call), call.needed("metric_key")
    limit, offset = call.whole("max_results", low=1, high=_MOST_IN_A_PAGE), pages.offset_of(call)
    wanted = None if limit is None else limit + 1
    rows = _rows(_HISTORY, {"run": run.pk, "key": key, "limit": wanted, "offset": offset})
    answer: dict[str, Any] = {}
    if limit is not None and len(rows) > limit:
        rows.pop()
        answer["next_page_token"] = pages.token_of(offset + limit)
    # A page may have a hundred thousand points, which is why no function is called for each.
    points = [{"key": key, "value": value, "timestamp": time, "step": step} for value, time, step in rows]
    for point in points:
        if point["value"] - point["value"] != 0:  # NaN or infinite
            point["value"] = wire(point["value"])
    return orjson.dumps({"metrics": points, **answer})


@answers("GET", "metrics/get-history-bulk", judged="run:view", prefix="ajax-api/2.0/mlflow")
@answers("GET", "metrics/get-history-bulk", judged="run:view")
def history_bulk(call: Call) -> dict[str, Any]:
    """Return the points of one metric of several runs."""
    key, limit = call.needed("metric_key"), call.whole("max_results", MOST_POINTS, low=0)
    runs = _runs(call, "run_id")
    return {"metrics": _points(key, _rows(_BULK, {"runs": runs, "key": key, "limit": min(limit, MOST_POINTS)}))}


@answers("GET", "metrics/get-history-bulk-interval", judged="run:view", prefix="ajax-api/2.0/mlflow")
@answers("GET", "metrics/get-history-bulk-interval", judged="run:view")
def history_interval(call: Call) -> dict[str, Any]:
    """Return at most `max_results` points per run, between two steps."""
    key, most = call.needed("metric_key"), call.whole("max_results", MOST_PER_RUN, low=1, high=MOST_PER_RUN)
    first, last = call.whole("start_step"), call.whole("end_step")
    if (first is None) != (last is None):
        msg = "If either start step or end step are specified, both must be specified."
        raise Invalid(msg)
    if first is not None and first > last:
        msg = f"end_step must be greater than start_step. Found start_step={first} and end_step={last}."
        raise Invalid(msg)
    steps = {"first": -(1 << 63) if first is None else first, "last": (1 << 63) - 1 if last is None else last}
    return {
        "metrics": _points(key, _rows(_THINNED, {"runs": _runs(call, "run_ids"), "key": key, "most": most, **steps}))
    }


def _runs(call: Call, field: str) -> list[UUID]:
    """Return the runs that a call names, all of which the caller may see. Raises: Invalid, NotFound."""
    texts = list(dict.fromkeys(call.texts(field)))
    if not 0 < len(texts) <= MOST_RUNS:
        raise wrong(field, f"Name 1 to {MOST_RUNS} runs.")
    seen = set(Run.objects.visible_to(call.user, "view").filter(pk__in=_keys(texts)).values_list("pk", flat=True))
    for text in texts:
        if not is_hex(text) or UUID(text) not in seen:
            raise refused(call.user, "view", "tracking.run", absent("run", text), object_id=text)
    return _keys(texts)


def _keys(texts: Sequence[str]) -> list[UUID]:
    return [UUID(text) for text in texts if is_hex(text)]


def _points(key: str, rows: Sequence[Sequence[Any]]) -> list[dict[str, Any]]:
    return [
        {"key": key, "value": wire(value), "timestamp": time, "step": step, "run_id": run.hex}
        for run, value, time, step in rows
    ]


def _rows(sql: str, values: dict[str, Any]) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        rows: list[Any] = cursor.fetchall()
    return rows
