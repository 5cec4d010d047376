"""The loop that asks backends what runs uses, keeps it with the attempt, and tells whoever wants to know."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

import structlog
from django.utils import timezone

from apps.compute import handlers, registry, uses
from apps.compute.backends.base import Meter, Unavailable
from apps.compute.choices import State
from apps.compute.contract import Use
from apps.compute.handlers import Sample
from apps.compute.models import Attempt, Cluster
from apps.core.errors import Invalid

logger = structlog.get_logger(__name__)

_PAGE = 500


def measure_running() -> str:
    """Look at what everything that runs uses, cluster by cluster. What a cluster cannot tell is left open."""
    count = 0
    for attempts in _by_cluster().values():
        for page in _pages(attempts):
            samples = _measure(page)
            handlers.tell_samples(samples)
            count += len(samples)
    return f"measured {count}" if count else ""


def _by_cluster() -> Mapping[Cluster, list[Attempt]]:
    rows = Attempt.objects.filter(
        verdict="", started_at__isnull=False, workload__state__in=[State.RUNNING, State.STOPPING]
    )
    found: dict[Cluster, list[Attempt]] = defaultdict(list)
    for attempt in rows.select_related("workload", "cluster").order_by("pk"):
        found[attempt.cluster].append(attempt)
    return found


def _pages(attempts: list[Attempt]) -> Iterator[list[Attempt]]:
    for start in range(0, len(attempts), _PAGE):
        yield attempts[start : start + _PAGE]


def _measure(attempts: list[Attempt]) -> list[Sample]:
    cluster = attempts[0].cluster
    try:
        backend = registry.connect(cluster.kind, cluster.settings)
        seen = backend.measure([one.handle for one in attempts]) if isinstance(backend, Meter) else {}
    except (Unavailable, Invalid) as error:
        logger.warning("cluster_not_measured", cluster=str(cluster), error=str(error))
        return []
    now = timezone.now()
    measured = [(attempt, seen[attempt.handle]) for attempt in attempts if attempt.handle in seen]
    samples = [_sample(attempt, use, now) for attempt, use in measured]
    for attempt, use in measured:
        Attempt.objects.filter(pk=attempt.pk, verdict="").update(**uses.columns(attempt, use))
    return samples


def _sample(attempt: Attempt, use: Use, now: datetime) -> Sample:
    started = attempt.started_at or now
    ran = max(timedelta(0), now - started)
    since = now - (attempt.measured_at or started)
    used = None if use.cpu_seconds is None else max(0.0, use.cpu_seconds - (attempt.cpu_seconds or 0.0))
    cpus = None if used is None or since <= timedelta(0) else used / since.total_seconds()
    subject = attempt.workload.subject
    return Sample(subject, attempt.no, now, int(ran.total_seconds()), cpus, use.memory_bytes)
