"""Logging to runs: metrics, params, tags. Each call becomes a batch, which `apps.tracking.ingest` writes.

MLflow's client sends no id by which a repeat could be known. Its points carry their times, so the same points once more
are a repeat (`ingest.key_by_content`), as MLflow's own store has them only once.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson
from django.db import transaction

from apps.access import policy
from apps.core.errors import Invalid
from apps.core.texts import wrong
from apps.mlflow import calls
from apps.mlflow.calls import Call, missing
from apps.mlflow.finding import model_of, run_of
from apps.mlflow.routing import answers
from apps.tracking import batches, ingest
from apps.tracking import services as tracking
from apps.tracking.batches import Batch
from apps.tracking.language.runs import RUN_NAME
from apps.tracking.models import Run
from apps.tracking.services import Measured

_HISTORY = "mlflow.log-model.history"
Reader = Callable[[Call], Batch]


def metric_batch(call: Call) -> Batch:
    """Read runs/log-metric. Raises: Invalid."""
    return _points([call.given])


def param_batch(call: Call) -> Batch:
    """Read runs/log-parameter. Raises: Invalid."""
    return _batch(params={call.needed("key"): call.text("value")})


def tag_batch(call: Call) -> Batch:
    """Read runs/set-tag. Raises: Invalid."""
    return _batch(tags={call.needed("key"): call.text("value")})


def whole_batch(call: Call) -> Batch:
    """Read runs/log-batch. Raises: Invalid, also for a param with two values."""
    params: dict[str, str] = {}
    for row in call.rows("params"):
        entry = Call(call.user, row)
        key, value = entry.needed("key"), entry.text("value")
        if params.setdefault(key, value) != value:
            raise wrong(name="params", sentence=f"{key[:100]!r} comes with two values.")
    return _points(call.rows("metrics"), params=params, tags=call.pairs("tags"))


READERS: dict[str, Reader] = {
    "log-metric": metric_batch,
    "log-parameter": param_batch,
    "set-tag": tag_batch,
    "log-batch": whole_batch,
}


def is_plain(call: Call, batch: Batch) -> bool:
    """Tell whether nothing but the batch is to be written: no name of the run, and nothing measured of a model."""
    if RUN_NAME in batch.tags or call.given.get("model_id"):
        return False
    rows = call.given.get("metrics")
    return not (isinstance(rows, list) and any(row.get("model_id") for row in rows))


@transaction.atomic
def log(call: Call, reader: Reader) -> dict[str, Any]:
    """Write what a call logs. The native handler does the same where the call is plain."""
    run = run_of(call)
    policy.require(call.user, "log", run)
    if run.archived_at is not None:
        msg = f"The run {run.pk.hex} must be in the 'active' state. Current state is deleted."
        raise Invalid(msg)
    batch = reader(call)
    if name := batch.tags.get(RUN_NAME):
        tracking.update_run(run, by=call.user, name=name)
    ingest.write(run.pk, batch, ingest.key_by_content(run.pk, batch))
    _measure(call, run)
    return {}


@answers("POST", "runs/log-metric", judged="run:log")
def log_metric(call: Call) -> dict[str, Any]:
    return log(call, metric_batch)


@answers("POST", "runs/log-parameter", judged="run:log")
def log_param(call: Call) -> dict[str, Any]:
    """Keep a param. Its value does not change: another one is refused, as MLflow does."""
    return log(call, param_batch)


@answers("POST", "runs/set-tag", judged="run:log")
def set_tag(call: Call) -> dict[str, Any]:
    return log(call, tag_batch)


@answers("POST", "runs/log-batch", judged="run:log")
def log_batch(call: Call) -> dict[str, Any]:
    return log(call, whole_batch)


@answers("POST", "runs/log-model", judged="run:log")
def log_model(call: Call) -> dict[str, Any]:
    """Keep what older clients tell of a model they have stored: as the tag by which they find it again."""
    run = run_of(call, is_live=True)
    told = calls.read(call.needed("model_json").encode())
    known = run.tags.filter(key=_HISTORY).values_list("value", flat=True).first()
    history = [*orjson.loads(known or "[]"), told]
    tracking.log_batch(run, {"tags": {_HISTORY: orjson.dumps(history).decode()}}, by=call.user)
    return {}


def _batch(params: Mapping[str, str] | None = None, tags: Mapping[str, str] | None = None) -> Batch:
    return replace(batches.check({"params": params or {}, "tags": tags or {}}), keeps_params=True)


def _points(
    rows: Sequence[Mapping[str, Any]], params: Mapping[str, str] | None = None, tags: Mapping[str, str] | None = None
) -> Batch:
    """Check points by columns. The same point twice in a batch is one."""
    columns = {
        "key": [row.get("key") for row in rows],
        "value": [row.get("value") for row in rows],
        "step": [row.get("step", 0) for row in rows],
        "time": [row.get("timestamp") for row in rows],
    }
    for name in ("step", "time"):
        if set(map(type, columns[name])) - {int}:
            columns[name] = [_whole(name, value) for value in columns[name]]
    points = dict.fromkeys(zip(*columns.values(), strict=True)) if _can_be_compared(columns) else None
    if points is not None and len(points) < len(rows):
        columns = dict(zip(columns, map(list, zip(*points, strict=True)), strict=True))
    batch = batches.check({"metrics": columns, "params": params or {}, "tags": tags or {}})
    return replace(batch, keeps_params=True)


def _can_be_compared(columns: Mapping[str, list[Any]]) -> bool:
    return not set(map(type, columns["key"] + columns["value"])) - {str, int, float}


def _whole(name: str, value: Any) -> int:
    if value is None:
        if name == "step":
            return 0
        raise missing(name="timestamp")
    return calls.whole(name, value)


def _measure(call: Call, run: Run) -> None:
    """Keep, beside the run's own, what its points say of logged models."""
    rows = [call.given] if call.given.get("model_id") else call.rows("metrics")
    measured: dict[str, list[Measured]] = {}
    for row in rows:
        entry = Call(call.user, row)
        if model := entry.text("model_id"):
            measured.setdefault(model, []).append(_measured(entry))
    for model in sorted(measured):
        found = model_of(Call(call.user, {"model_id": model}))
        tracking.measure_model(found, run, measured[model], by=call.user)


def _measured(entry: Call) -> Measured:
    return Measured(
        key=entry.needed("key"),
        value=float(entry.given["value"]),
        step=_whole("step", entry.given.get("step")),
        time=calls.moment("timestamp", _whole("timestamp", entry.given.get("timestamp"))),
        dataset_name=entry.text("dataset_name", longest=500),
        dataset_digest=entry.text("dataset_digest", longest=64),
    )
