"""Admission: which queued workload may start now, in one transaction each.

Order: priority, then time of queueing. When a workload does not fit a node, whatever else would use the same full
resource below that node waits behind it, so that small work cannot starve large work; other branches go on.
"""

from dataclasses import dataclass, field
from uuid import UUID

from django.db import transaction
from django.db.models import F, Q
from django.db.models.functions import Now

from apps.compute import services
from apps.compute.choices import DesiredState, State
from apps.compute.lifecycle import transition
from apps.compute.models import Attempt, Workload
from apps.compute.reconcile.claim import LEASE_SECONDS
from apps.compute.times import later
from apps.core import failpoints
from apps.core.errors import Stale
from apps.quotas import services as quotas
from apps.quotas.models import QuotaNode

_PAGE = 50


@dataclass
class Pass:
    """One walk along the queue: what is full, what was admitted."""

    owner: str
    full: Q = field(default_factory=Q)
    seen: set[UUID] = field(default_factory=set)
    admitted: list[tuple[Workload, Attempt]] = field(default_factory=list)


def admit(owner: str) -> list[tuple[Workload, Attempt]]:
    """Admit what fits, each with its new attempt, leased to `owner`; drop what was stopped before it started."""
    turn = Pass(owner)
    while len(turn.admitted) < _PAGE:
        queue = Workload.objects.queue().filter(next_reconcile_at__lte=Now()).exclude(pk__in=turn.seen)
        if turn.full:
            queue = queue.exclude(turn.full)
        page = list(queue.select_related("quota_node", "cluster")[:_PAGE])
        if not page:
            break
        for workload in page:
            turn.seen.add(workload.pk)
            try:
                _try(workload, turn)
            except Stale:
                continue  # another worker has it
            if turn.full and workload.state == State.QUEUED:
                break  # ask anew: the rest of the page may be behind it
    return turn.admitted


def _try(workload: Workload, turn: Pass) -> None:
    if workload.desired_state == DesiredState.STOP:
        transition(workload, State.STOPPED, actor="reconcile", reason="Stopped", message=workload.stop_cause)
        return
    if not workload.cluster.is_open:
        turn.full |= Q(cluster_id=workload.cluster_id)
        _explain(workload, f"waiting: the cluster {workload.cluster} takes no new work", "Drained")
        return
    full = _reserve(workload, turn)
    if full is not None:
        turn.full |= _behind(full)
        _explain(workload, full.message, "QuotaFull")


@transaction.atomic
def _reserve(workload: Workload, turn: Pass) -> quotas.Full | None:
    number = workload.attempt_no + 1
    handle = f"fth-{workload.pk.hex}-{number}"
    node = services.cluster_node(workload.cluster)
    held = quotas.reserve(handle, workload.quota_node, [node.pk], workload.amounts)
    if isinstance(held, quotas.Full):
        return held
    transition(
        workload,
        State.STARTING,
        actor="reconcile",
        reason="Admitted",
        attempt_no=number,
        lease_owner=turn.owner,
        lease_epoch=F("lease_epoch") + 1,
        lease_until=later(LEASE_SECONDS),
    )
    attempt = Attempt.objects.create(workload=workload, no=number, cluster=workload.cluster, handle=handle)
    workload.refresh_from_db(fields=["lease_epoch"])
    turn.admitted.append((workload, attempt))
    transaction.on_commit(lambda: failpoints.hit("quota.after_commit"))
    return None


def _behind(full: quotas.Full) -> Q:
    blocked = Q(amounts__has_key=full.resource)
    if QuotaNode.objects.filter(pk=full.node_id, kind="cluster").exists():
        return blocked & Q(cluster_id__in=_clusters_of(full.node_id))
    return blocked & Q(quota_node__path__contains=[full.node_id])


def _clusters_of(node_id: int) -> list[UUID]:
    key = QuotaNode.objects.values_list("key", flat=True).get(pk=node_id)
    return [UUID(key.partition(":")[2])]


def _explain(workload: Workload, message: str, reason: str) -> None:
    """Say why it waits, if that changed; look again with the next turn that anything ends."""
    rows = Workload.objects.filter(pk=workload.pk, state=State.QUEUED)
    rows.exclude(message=message).update(message=message, reason=reason)
