"""Admission: which queued workload may start now, in one transaction each.

Order: priority, then time of queueing. When a workload does not fit a node, whatever else would use the same full
resource below that node waits behind it, so that small work cannot starve large work; other branches go on.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from uuid import UUID

from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Greatest, Now

from apps.compute import services
from apps.compute.choices import DesiredState, State
from apps.compute.lifecycle import move, transition
from apps.compute.models import Attempt, Cluster, Workload
from apps.compute.reconcile.claim import LEASE_SECONDS
from apps.compute.times import later
from apps.core import failpoints
from apps.core.errors import Conflict, Stale
from apps.quotas import services as quotas
from apps.quotas.models import QuotaNode

_PAGE = 50
_all_open_until = 0.0  # monotonic
_nodes: dict[UUID, int] = {}  # cluster -> its quota node, which never changes


Start = Callable[[Workload, Attempt], None]


@dataclass
class Pass:
    """One walk along the queue: what is full, how many were admitted."""

    owner: str
    start: Start
    full: Q = field(default_factory=Q)
    seen: set[UUID] = field(default_factory=set)
    admitted: int = 0
    blocked: list[tuple[Q, UUID | None, str, str]] = field(default_factory=list)

    def block(self, behind: Q, message: str, reason: str, *, ahead: UUID | None = None) -> None:
        """Pass over what `behind` describes in this walk; all of it but `ahead` will be told `message`."""
        self.full |= behind
        self.blocked.append((behind, ahead, message, reason))

    def shut(self, cluster: Cluster) -> None:
        """Pass over all that would go to a cluster which takes nothing new."""
        self.block(Q(cluster_id=cluster.pk), f"waiting: the cluster {cluster} takes no new work", "Drained")


def admit(owner: str, start: Start) -> None:
    """Admit what fits, and call `start` for each with its new attempt, leased to `owner`, as soon as it is admitted.

    What was stopped before it started ends here.
    """
    turn = Pass(owner, start)
    for cluster in _closed():
        turn.shut(cluster)
    while turn.admitted < _PAGE:
        queue = Workload.objects.queue().filter(next_reconcile_at__lte=Now()).exclude(pk__in=turn.seen)
        if turn.full:
            queue = queue.exclude(turn.full, desired_state=DesiredState.RUN)  # what was stopped ends, full or not
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
        else:
            if len(page) < _PAGE:
                break
    told = Q()
    for behind, ahead, message, reason in turn.blocked:
        others = Workload.objects.filter(behind).exclude(told)
        _explain(others.exclude(pk=ahead) if ahead else others, message, reason)
        told |= behind


def _closed() -> list[Cluster]:
    """Return the clusters that take nothing new. When there were none, that is believed for a second: `_try` looks too."""
    global _all_open_until  # noqa: PLW0603 -- one memory per process
    if time.monotonic() < _all_open_until:
        return []
    found = list(Cluster.objects.exclude(is_enabled=True, is_drained=False))
    _all_open_until = 0.0 if found else time.monotonic() + 1.0
    return found


def _try(workload: Workload, turn: Pass) -> None:
    if workload.desired_state == DesiredState.STOP:
        ended = Greatest(Now(), F("started_at"))  # of an earlier attempt, if there was one
        facts = {"reason": "Stopped", "message": workload.stop_cause, "finished_at": ended}
        transition(workload, State.STOPPED, actor="reconcile", **facts)
        return
    if not workload.cluster.is_open:
        turn.shut(workload.cluster)
        return
    result = _reserve(workload, turn)
    if isinstance(result, quotas.Full):
        _explain(Workload.objects.filter(pk=workload.pk), result.message, "QuotaFull")
        turn.block(_behind(result), result.message_behind, "QuotaFull", ahead=workload.pk)
        return
    failpoints.hit("quota.after_commit")
    turn.admitted += 1
    turn.start(workload, result)


@transaction.atomic
def _reserve(workload: Workload, turn: Pass) -> quotas.Full | Attempt:
    number = workload.attempt_no + 1
    handle = f"fth-{workload.pk.hex}-{number}"
    try:
        held = quotas.reserve(handle, workload.quota_node, [_node(workload.cluster)], workload.amounts)
    except Conflict as error:  # this attempt has come and gone since the page was read
        raise Stale(error.detail) from error
    if isinstance(held, quotas.Full):
        return held
    move(
        workload,
        State.STARTING,
        actor="reconcile",
        reason="Admitted",
        attempt_no=number,
        lease_owner=turn.owner,
        lease_epoch=workload.lease_epoch + 1,
        lease_until=later(LEASE_SECONDS),
    )
    return Attempt.objects.create(workload=workload, no=number, cluster=workload.cluster, handle=handle)


def _node(cluster: Cluster) -> int:
    if cluster.pk not in _nodes:
        _nodes[cluster.pk] = services.cluster_node(cluster).pk
    return _nodes[cluster.pk]


def _behind(full: quotas.Full) -> Q:
    blocked = Q(amounts__has_key=full.resource)
    if QuotaNode.objects.filter(pk=full.node_id, kind="cluster").exists():
        return blocked & Q(cluster_id__in=_clusters_of(full.node_id))
    return blocked & Q(quota_node__path__contains=[full.node_id])


def _clusters_of(node_id: int) -> list[UUID]:
    key = QuotaNode.objects.values_list("key", flat=True).get(pk=node_id)
    return [UUID(key.partition(":")[2])]


def _explain(rows: QuerySet[Workload], message: str, reason: str) -> None:
    """Say why they wait, where that changed; look again with the next turn that anything ends."""
    queued = rows.filter(state=State.QUEUED, desired_state=DesiredState.RUN)
    queued.exclude(message=message).update(message=message, reason=reason)
