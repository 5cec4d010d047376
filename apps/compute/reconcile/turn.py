"""One turn of the due loop."""

import time
from collections import defaultdict
from collections.abc import Callable, Collection
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from uuid import UUID

import structlog
from django.db import InterfaceError, OperationalError, close_old_connections

from apps.compute import registry
from apps.compute.backends.base import Unavailable
from apps.compute.choices import TERMINAL, State
from apps.compute.contract import Observation, Phase
from apps.compute.models import Attempt, Cluster, Workload
from apps.compute.reconcile.admit import admit
from apps.compute.reconcile.advance import advance, push_back, start
from apps.compute.reconcile.claim import claim_due, release_lease
from apps.compute.reconcile.finalize import finalize
from apps.core.errors import Invalid, Stale

logger = structlog.get_logger(__name__)

BATCH = 100
_BACK_OFF_SECONDS = 1.0
_BUG_PAUSE_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Turn:
    """What a turn looked at, and what it left on a backend."""

    looked_at: list[UUID]
    present: list[tuple[Workload, Attempt]]

    @property
    def did_something(self) -> bool:
        return bool(self.looked_at or self.present)


def run_turn(owner: str, *, ids: Collection[UUID] | None = None, pool: Executor | None = None) -> Turn:
    """Admit, look at what is due (or at `ids`), take one step each. With `pool`, starts go on beside the admissions."""
    present: list[tuple[Workload, Attempt]] = []
    starts: list[Future[bool]] = []

    def start_one(workload: Workload, attempt: Attempt) -> None:
        present.append((workload, attempt))
        if pool is None:
            _start(workload, attempt)
        else:
            starts.append(pool.submit(_start_in_thread, workload, attempt))

    admit(owner, start_one)
    for started in starts:
        started.result()
    claimed = claim_due(owner, limit=BATCH, ids=ids)
    for workload in claimed:
        if workload.state in TERMINAL:
            _guarded(finalize, workload)
    present += _look([workload for workload in claimed if workload.state not in TERMINAL])
    return Turn([workload.pk for workload in claimed], present)


def _start(workload: Workload, attempt: Attempt) -> bool:
    done = _guarded(start, workload, attempt)
    release_lease(workload)
    return done


def _start_in_thread(workload: Workload, attempt: Attempt) -> bool:
    close_old_connections()
    return _start(workload, attempt)


def _look(workloads: list[Workload]) -> list[tuple[Workload, Attempt]]:
    present = []
    for cluster, pairs in _by_cluster(workloads).items():
        asked_at = time.monotonic()
        seen = observe(cluster, [attempt.handle for _, attempt in pairs])
        for workload, attempt in pairs:
            if not _guarded(advance, workload, attempt, seen[attempt.handle], asked_at):
                continue
            if workload.is_finished or workload.state == State.QUEUED:  # ended, perhaps to run again
                _guarded(finalize, workload)
            else:
                present.append((workload, attempt))
            if not workload.is_finished:  # else finalize has let go
                release_lease(workload)
    return present


def _by_cluster(workloads: list[Workload]) -> dict[Cluster, list[tuple[Workload, Attempt]]]:
    numbers = {workload.pk: workload.attempt_no for workload in workloads}
    attempts = Attempt.objects.filter(workload__in=workloads).select_related("cluster")
    latest = {attempt.workload_id: attempt for attempt in attempts if attempt.no == numbers[attempt.workload_id]}
    grouped = defaultdict(list)
    for workload in workloads:
        attempt = latest[workload.pk]
        grouped[attempt.cluster].append((workload, attempt))
    return grouped


def observe(cluster: Cluster, handles: Collection[str]) -> dict[str, Observation]:
    """Ask the cluster's backend once for all; what it fails to answer is UNKNOWN."""
    try:
        seen = registry.connect(cluster.kind, cluster.settings).observe(handles)
    except (Unavailable, Invalid) as error:  # Invalid: its settings are no longer understood
        seen = {handle: Observation(Phase.UNKNOWN, "Unavailable", str(error)) for handle in handles}
    return {handle: seen.get(handle, Observation(Phase.UNKNOWN)) for handle in handles}


def _guarded(step: Callable[..., None], workload: Workload, *rest: object) -> bool:
    """Take a step; one workload's trouble must not keep the others from theirs."""
    try:
        step(workload, *rest)
    except Stale:
        return False  # somebody else has it now
    except Unavailable as error:
        logger.warning("backend_unavailable", workload=str(workload.pk), error=str(error))
        push_back(workload, _BACK_OFF_SECONDS)
        return False
    except (OperationalError, InterfaceError):
        raise  # the database is away: nobody's trouble alone
    except Exception:  # the outermost level of the loop over workloads: a bug met by one must not hold up the others
        logger.exception("step_failed", workload=str(workload.pk), step=step.__name__)
        push_back(workload, _BUG_PAUSE_SECONDS)
        return False
    return True
