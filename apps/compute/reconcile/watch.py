"""Between two turns: cheap looks at backends that allow them, so that a start or an end is seen within milliseconds.

Holds no truth. What it misses, the next poll finds.
"""

import time
from collections.abc import Iterable
from uuid import UUID

from apps.compute import registry
from apps.compute.contract import Capability, Phase
from apps.compute.models import Attempt, Cluster, Workload
from apps.compute.reconcile.turn import observe

_SHARE = 0.1  # at most this share of the time goes into looking
_FASTEST, _SLOWEST = 0.01, 0.5


class Watch:
    """The handles seen alive, each with the phase the database already knows."""

    def __init__(self) -> None:
        self._clusters: dict[UUID, Cluster] = {}
        self._known: dict[UUID, dict[str, tuple[UUID, Phase]]] = {}
        self._next_look = 0.0
        self.pause = _FASTEST

    def update(self, looked_at: Iterable[UUID], present: Iterable[tuple[Workload, Attempt]]) -> None:
        """Forget what a turn looked at, except what it left on a backend."""
        gone = set(looked_at)
        for names in self._known.values():
            for handle in [handle for handle, (workload_id, _) in names.items() if workload_id in gone]:
                del names[handle]
        for workload, attempt in present:
            cluster = attempt.cluster
            if Capability.CHEAP_OBSERVE in registry.backend_class(cluster.kind).capabilities:
                self._clusters[cluster.pk] = cluster
                phase = Phase.RUNNING if workload.started_at else Phase.PENDING
                self._known.setdefault(cluster.pk, {})[attempt.handle] = (workload.pk, phase)

    @property
    def is_idle(self) -> bool:
        return not any(self._known.values())

    def changed(self) -> list[UUID]:
        """Return the workloads whose phase is no longer the known one; looks only when it is time to."""
        now = time.monotonic()
        if self.is_idle or now < self._next_look:
            return []
        news = []
        for cluster_id, names in self._known.items():
            for handle, seen in observe(self._clusters[cluster_id], list(names)).items():
                workload_id, phase = names[handle]
                if seen.phase not in (phase, Phase.UNKNOWN, Phase.MISSING):
                    names[handle] = (workload_id, seen.phase)
                    news.append(workload_id)
        cost = time.monotonic() - now
        self.pause = min(_SLOWEST, max(_FASTEST, cost / _SHARE))
        self._next_look = time.monotonic() + self.pause
        return news
