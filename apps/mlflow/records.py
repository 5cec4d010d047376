"""Runs as MLflow shows them: a page of runs with all that was logged to them, in one query per table."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import orjson
from django.db import connection
from django.db.models import QuerySet

from apps.mlflow import forms
from apps.tracking.choices import Direction
from apps.tracking.language.runs import RUN_NAME
from apps.tracking.models import Run
from apps.tracking.summaries import wire

COLUMNS = (
    "pk", "name", "status", "started_at", "finished_at", "archived_at", "owner__username", "project__number",
)  # fmt: skip

# One statement: each of five would cost as much as all rows of a usual run. Of the columns each kind uses its own.
_ALL = """
SELECT 'param', run_id, key, value, NULL::float8, NULL::int8, NULL::int8 FROM tracking_param WHERE run_id = ANY(%(runs)s)
UNION ALL
SELECT 'tag', run_id, key, value, NULL, NULL, NULL FROM tracking_tag WHERE run_id = ANY(%(runs)s)
UNION ALL
SELECT 'metric', run_id, key, NULL, last_value, round(date_part('epoch', last_time) * 1000)::int8, last_step
FROM tracking_metricseries WHERE run_id = ANY(%(runs)s) AND count > 0
UNION ALL
(SELECT 'dataset', run_id, NULL, json_build_array(name, digest, source_type, source, schema, profile, tags)::text,
    NULL, NULL, NULL FROM tracking_rundataset WHERE run_id = ANY(%(runs)s) ORDER BY id)
UNION ALL
(SELECT direction, run_id, replace(model_id::text, '-', ''), NULL, NULL, NULL, step
    FROM tracking_runmodel WHERE run_id = ANY(%(runs)s) ORDER BY id)
"""


@dataclass(slots=True)
class Records:
    """What was logged to one run."""

    params: list[dict[str, str]] = field(default_factory=list)
    metrics: list[dict[str, Any]] = field(default_factory=list)
    tags: list[dict[str, str]] = field(default_factory=list)
    datasets: list[dict[str, Any]] = field(default_factory=list)
    used: list[dict[str, Any]] = field(default_factory=list)
    made: list[dict[str, Any]] = field(default_factory=list)


def runs_of(rows: QuerySet[Run]) -> list[dict[str, Any]]:
    """Return the runs of a query that has judged them, in its order, with their records."""
    found = list(rows.values_list(*COLUMNS))
    records = _records([row[0] for row in found])
    return [_run(row, records[row[0]]) for row in found]


def run_of(run: Run) -> dict[str, Any]:
    """Return one run that was judged, with its records."""
    return _run(_row(run), _records([run.pk])[run.pk])


def info_of(run: Run) -> dict[str, Any]:
    """Return one run that was judged, without records."""
    return _info(_row(run))


def new_run(run: Run, tags: Mapping[str, str]) -> dict[str, Any]:
    """Return a run that was created just now: what it has is known."""
    return _run(_row(run), Records(tags=forms.pairs(sorted(tags.items()))))


def _row(run: Run) -> tuple[Any, ...]:
    return (
        run.pk,
        run.name,
        run.status,
        run.started_at,
        run.finished_at,
        run.archived_at,
        run.owner.username,
        run.project.number,
    )


def _info(row: Sequence[Any]) -> dict[str, Any]:
    pk, name, status, started_at, finished_at, archived_at, owner, number = row
    form = {
        "run_id": pk.hex,
        "run_uuid": pk.hex,
        "run_name": name,
        "experiment_id": str(number),
        "user_id": owner,
        "status": status.upper(),
        "start_time": forms.milliseconds(started_at),
        "artifact_uri": forms.artifacts_of(number, pk.hex),
        "lifecycle_stage": forms.stage_of(archived_at),
    }
    if finished_at is not None:
        form["end_time"] = forms.milliseconds(finished_at)
    return form


def _run(row: Sequence[Any], records: Records) -> dict[str, Any]:
    named = [tag for tag in records.tags if tag["key"] != RUN_NAME]  # the name is the run's own, and told as a tag too
    data: dict[str, Any] = {"tags": [{"key": RUN_NAME, "value": row[1]}, *named]}
    if records.params:
        data["params"] = records.params
    if records.metrics:
        data["metrics"] = records.metrics
    inputs: dict[str, Any] = {}
    if records.datasets:
        inputs["dataset_inputs"] = records.datasets
    if records.used:
        inputs["model_inputs"] = records.used
    form = {"info": _info(row), "data": data, "inputs": inputs}
    if records.made:
        form["outputs"] = {"model_outputs": records.made}
    return form


def _records(runs: list[UUID]) -> defaultdict[UUID, Records]:
    found: defaultdict[UUID, Records] = defaultdict(Records)
    if not runs:
        return found
    with connection.cursor() as cursor:
        cursor.execute(_ALL, {"runs": runs})
        for kind, run, key, text, value, time, step in cursor.fetchall():
            match kind:
                case "param":
                    found[run].params.append({"key": key, "value": text})
                case "tag":
                    found[run].tags.append({"key": key, "value": text})
                case "metric":
                    found[run].metrics.append({"key": key, "value": wire(value), "timestamp": time, "step": step})
                case "dataset":
                    found[run].datasets.append(_dataset(*orjson.loads(text)))
                case Direction.INPUT:
                    found[run].used.append({"model_id": f"m-{key}"})
                case _:
                    found[run].made.append({"model_id": f"m-{key}", "step": step})
    return found


def _dataset(*columns: Any) -> dict[str, Any]:
    name, digest, source_type, source, schema, profile, tags = columns
    told = {"name": name, "digest": digest, "source_type": source_type, "source": source}
    told |= {key: text for key, text in (("schema", schema), ("profile", profile)) if text}
    return {"tags": forms.pairs(sorted(tags.items())), "dataset": told}
