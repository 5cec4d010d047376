"""What an attempt has used, as its columns."""

from typing import Any

from django.db.models.functions import Now

from apps.compute.contract import Use
from apps.compute.models import Attempt


def columns(attempt: Attempt, use: Use) -> dict[str, Any]:
    """Return what to write. What a cluster has told once stays when it tells less: a look may miss what has just ended."""
    found: dict[str, Any] = {}
    if use.cpu_seconds is not None:
        found["cpu_seconds"] = max(use.cpu_seconds, attempt.cpu_seconds or 0.0)
    if use.memory_bytes is not None:
        found["memory_bytes"] = use.memory_bytes
    peaks = [use.peak_memory_bytes, use.memory_bytes, attempt.peak_memory_bytes]
    if known := [value for value in peaks if value is not None]:
        found["peak_memory_bytes"] = max(known)
    return found | {"measured_at": Now()} if found else {}


def cpu_ms(seconds: float | None) -> int | None:
    """Return CPU time as money counts it, in milliseconds; None where nobody knows."""
    return None if seconds is None else round(seconds * 1000)
