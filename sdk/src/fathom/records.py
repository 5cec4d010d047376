"""The records of tracking, as they are sent and as they stand in the spool file."""

import math
import uuid
from collections.abc import Iterable, Sequence
from typing import Any

BATCH_POINTS = 1000
BATCH_NAMES = 100

Point = tuple[str, float, int, int]  # key, value, step, milliseconds since the epoch


def batch_record(points: Sequence[Point], names: Iterable[tuple[str, str, str]]) -> dict[str, Any]:
    """A batch as the API takes it: metrics in columns, and an id that makes sending it twice harmless."""
    record: dict[str, Any] = {"type": "batch", "batch_id": str(uuid.uuid4()), "params": {}, "tags": {}}
    keys, values, steps, times = zip(*points, strict=True) if points else ((), (), (), ())
    record["metrics"] = {"key": keys, "value": [wire_float(value) for value in values], "step": steps, "time": times}
    for kind, key, value in names:
        record[kind][key] = value
    return record


def wire_float(value: float) -> float | str:
    """JSON has no non-finite numbers; they travel by name."""
    if math.isfinite(value):
        return value
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"
