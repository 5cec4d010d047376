"""What jobs use, as metrics of their runs: steps are seconds since the attempt began, names begin with "system/"."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import structlog

from apps.access.principal import SYSTEM
from apps.compute.handlers import Sample
from apps.compute.models import Attempt
from apps.core.errors import DomainError
from apps.quotas.choices import CPU, MEMORY, in_units, unit_of, words
from apps.tracking import services as tracking
from apps.tracking.models import Run

logger = structlog.get_logger(__name__)

PREFIX = "system/"
CPUS, MEMORY_GIB = f"{PREFIX}cpus", f"{PREFIX}memory_gib"
_RESOURCES = {CPUS: CPU, MEMORY_GIB: MEMORY}


def keep_samples(samples: Sequence[Sample]) -> None:
    """Write each sample to its run. What cannot be written is left out: it is for looking at, nothing depends on it."""
    for sample in samples:
        kind, _, run = sample.subject.partition(":")
        points = _points(sample)
        if kind != "run" or not points:
            continue
        try:
            tracking.log_batch(Run(pk=UUID(run)), {"metrics": points}, by=SYSTEM)
        except DomainError as refusal:
            logger.warning("sample_not_kept", run=run, error=str(refusal))


def _points(sample: Sample) -> list[dict[str, Any]]:
    memory = None if sample.memory_bytes is None else sample.memory_bytes / unit_of(MEMORY)
    found = {CPUS: sample.cpus, MEMORY_GIB: memory}
    when = {"step": sample.seconds, "time": sample.at.isoformat()}
    return [{"key": key, "value": value, **when} for key, value in found.items() if value is not None]


@dataclass(frozen=True, slots=True)
class Used:
    """What an attempt used, in words; "" where nobody knows."""

    cpu: str = ""
    memory: str = ""


def used_by(attempt: Attempt | None, amounts: Mapping[str, int]) -> Used:
    """Say how much of what it asked for an attempt used: CPUs on average while it ran, memory at most."""
    if attempt is None:
        return Used()
    until = attempt.finished_at or attempt.measured_at
    ran = (until - attempt.started_at).total_seconds() if until and attempt.started_at else 0.0
    asked = {name: f" of {in_units(name, amounts[name])}" if amounts.get(name) else "" for name in (CPU, MEMORY)}
    cpu, peak = attempt.cpu_seconds, attempt.peak_memory_bytes
    return Used(
        f"{cpu / ran:.2f}{asked[CPU]} {words(CPU)} on average" if cpu is not None and ran > 0 else "",
        f"{peak / unit_of(MEMORY):.2f}{asked[MEMORY]} {words(MEMORY)} at most" if peak is not None else "",
    )


def title_of(key: str, amounts: Mapping[str, int]) -> str:
    """Name a chart: what was used, beside what was asked for."""
    resource = _RESOURCES.get(key)
    if resource is None or not amounts.get(resource):
        return key
    return f"{key}, of {in_units(resource, amounts[resource])} {words(resource)}"
