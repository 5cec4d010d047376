"""Admission: what waits is walked in the order of `apps.compute.queue`, and what fits is admitted, some per transaction.

The walk is on numbers that were only looked at. What it would start is decided once more under the locks.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from django.conf import settings
from django.db import connection, transaction
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Greatest, Now

from apps.budgets import services as budgets
from apps.compute import services
from apps.compute.choices import DesiredState, State
from apps.compute.lifecycle import move, transition
from apps.compute.models import Attempt, Cluster, Workload
from apps.compute.queue import Behind, Candidate, Start, Wait, Walk
from apps.compute.reconcile import reclaim
from apps.compute.reconcile.claim import LEASE_SECONDS
from apps.compute.times import later
from apps.core import failpoints
from apps.core.errors import Stale
from apps.core.locks import claim_rows
from apps.quotas import services as quotas
from apps.quotas.models import Reservation, Resource

_PAGE = 64  # admitted in one turn; the next goes on
_BATCH = 16  # admitted in one transaction, while the root of the tree is locked
_TELL_AGAIN_SECONDS = 5.0
_OVERDUE_LOOKED_AT = 100
_all_open_until = 0.0  # monotonic
_told: dict[str, float] = {}  # what all that waits behind something was told, and when (monotonic)
_MOST_TOLD = 10_000
_TOLD_AT_ONCE = 500
_LOOK_AT_MONEY_AGAIN_SECONDS = 5.0
_short_until: dict[UUID, float] = {}  # what was short of money, until when it is left alone (monotonic)
_nodes: dict[UUID, int] = {}  # cluster -> its quota node, which never changes

Launch = Callable[[Workload, Attempt], None]


@dataclass
class Pass:
    """One walk along the queue: who walks, how many were admitted, what the others are told."""

    owner: str
    launch: Launch
    admitted: int = 0
    waits: list[tuple[Candidate, Wait]] = field(default_factory=list)
    messages: dict[UUID, tuple[str, str]] = field(default_factory=dict)  # -> message, reason


def admit(owner: str, launch: Launch) -> None:
    """Admit what fits, and call `launch` for each with its new attempt, leased to `owner`, once it is admitted.

    What was stopped before it started ends here.
    """
    _end_stopped()
    closed = closed_clusters()
    turn = Pass(owner, launch)
    queue = DatabaseQueue(closed)
    if walk := _walk(queue):
        _follow(walk, turn)
    _explain(turn, queue, closed)


def _walk(queue: "DatabaseQueue") -> Walk | None:
    """Read what a walk needs: the first of each leaf, and the numbers of all nodes on their paths."""
    waiting = [*queue.overdue(), *queue.heads()]
    if not waiting:
        return None
    nodes = {node_id for one in waiting for node_id in one.node_ids} | set(_nodes.values())
    books = quotas.look(nodes, Resource.objects.names())
    return Walk(queue, books, quotas.shares_of(nodes), expected_ends, time.time(), _skipped(), assumed_seconds())


def _skipped() -> frozenset[UUID]:
    """Return what was short of money a moment ago: it is not asked for again with every turn."""
    now = time.monotonic()
    for pk in [pk for pk, until in _short_until.items() if until < now]:
        del _short_until[pk]
    return frozenset(_short_until)


def _follow(walk: Walk, turn: Pass) -> None:
    batch: list[Candidate] = []
    for candidate, outcome in walk:
        if isinstance(outcome, Start):
            batch.append(candidate)
            if len(batch) == _BATCH:
                _admit_batch(batch, walk, turn)
                batch = []
            if turn.admitted + len(batch) >= _PAGE:
                break
        elif isinstance(outcome, Wait):
            turn.waits.append((candidate, outcome))
            turn.messages[candidate.id] = outcome.full.message, "QuotaFull"
        elif isinstance(outcome, Behind):
            turn.messages[candidate.id] = outcome.full.message_behind, "QuotaFull"
    if batch:
        _admit_batch(batch, walk, turn)
    for candidate, wait in turn.waits[: reclaim.MOST_PER_TURN]:
        if told := reclaim.reclaim(candidate, wait, walk.books):
            turn.messages[candidate.id] = told, "Reclaiming"


def _admit_batch(batch: list[Candidate], walk: Walk, turn: Pass) -> None:
    done = _admit(batch, turn.owner)
    failpoints.hit("quota.after_commit")
    for workload, attempt in done.admitted:
        turn.admitted += 1
        turn.launch(workload, attempt)
    for candidate, cluster in done.closed:
        walk.withdraw(candidate)
        turn.messages[candidate.id] = f"waiting: the cluster {cluster} takes no new work", "Drained"
    for candidate, short in done.short:
        walk.withdraw(candidate)
        turn.messages[candidate.id] = f"waiting: {short.message}", "BudgetShort"
        _short_until[candidate.id] = time.monotonic() + _LOOK_AT_MONEY_AGAIN_SECONDS
    for candidate, over in done.refused:
        wait = walk.refuse(candidate, over)
        turn.waits.append((candidate, wait))
        turn.messages[candidate.id] = wait.full.message, "QuotaFull"


@dataclass(frozen=True, slots=True)
class Done:
    """What became of a batch: admitted, too large for a limit after all, short of money, or for a cluster that is closed."""

    admitted: list[tuple[Workload, Attempt]]
    refused: list[tuple[Candidate, list[quotas.Line]]]
    short: list[tuple[Candidate, budgets.Short]]
    closed: list[tuple[Candidate, Cluster]]


@transaction.atomic
def _admit(batch: Sequence[Candidate], owner: str) -> Done:
    """Decide under the locks: of `batch`, in its order, what fits and can be paid for is held and moved on.

    LOCKING: limit rows, then workload rows (one that somebody else has locked is left to him), then those of budgets.
    """
    books = quotas.lock((node for one in batch for node in one.node_ids), (name for one in batch for name in one.need))
    rows = _lock_waiting(batch)
    trial, refused, closed, fits = books.copy(), [], [], []
    for candidate in batch:
        workload = rows.get(candidate.id)
        if workload is None or tuple(workload.quota_node.path) != candidate.path:
            continue  # somebody else has it, or its place in the tree was moved: the next turn reads it anew
        if not workload.cluster.is_open:
            _believe_open(seconds=0.0)
            closed.append((candidate, workload.cluster))
            continue
        if over := trial.over(candidate.node_ids, candidate.need):
            refused.append((candidate, over))
            continue
        trial.take(candidate.node_ids, candidate.need)
        fits.append((candidate, workload))
    fits, short = _paid(fits)
    if not fits:
        return Done([], refused, short, closed)
    asks = {_handle(workload): _ask(candidate, workload) for candidate, workload in fits}
    held = quotas.hold(list(asks.values()), books)
    made = [
        (workload, _begin(workload, owner)) for _, workload in fits if isinstance(held[_handle(workload)], Reservation)
    ]
    Attempt.objects.bulk_create(attempt for _, attempt in made)
    return Done(made, refused, short, closed)


def _paid(
    fits: list[tuple[Candidate, Workload]],
) -> tuple[list[tuple[Candidate, Workload]], list[tuple[Candidate, budgets.Short]]]:
    """Hold the money of what fits; return what is held, and what waits for money."""
    asks = [
        budgets.Ask(
            key=_handle(workload),
            node_ids=candidate.path,
            cluster_id=workload.cluster_id,
            amounts=candidate.need,
            timeout_seconds=services.worst_seconds(workload.timeout_seconds, workload.grace_seconds),
            subject=workload.subject,
        )
        for candidate, workload in fits
    ]
    answers = budgets.hold(asks) if asks else []
    paid, short = [], []
    for (candidate, workload), answer in zip(fits, answers, strict=True):
        if isinstance(answer, budgets.Short):
            short.append((candidate, answer))
        else:
            paid.append((candidate, workload))
    return paid, short


def _lock_waiting(batch: Sequence[Candidate]) -> dict[UUID, Workload]:
    waiting = Workload.objects.filter(
        pk__in=[one.id for one in batch], state=State.QUEUED, desired_state=DesiredState.RUN
    )
    rows = waiting.select_related("quota_node", "cluster").order_by("pk")
    return {row.pk: row for row in claim_rows(rows, limit=len(batch))}


def _handle(workload: Workload) -> str:
    return f"fth-{workload.pk.hex}-{workload.attempt_no + 1}"


def _ask(candidate: Candidate, workload: Workload) -> quotas.Ask:
    key = _handle(workload)
    return quotas.Ask(key, candidate.leaf, candidate.node_ids, candidate.need, candidate.seconds)


def _begin(workload: Workload, owner: str) -> Attempt:
    """Move it on, and return its new attempt, which the caller writes: those of a batch in one statement."""
    handle = _handle(workload)
    move(
        workload,
        State.STARTING,
        actor="reconcile",
        reason="Admitted",
        attempt_no=workload.attempt_no + 1,
        lease_owner=owner,
        lease_epoch=workload.lease_epoch + 1,
        lease_until=later(LEASE_SECONDS),
    )
    return Attempt(workload=workload, no=workload.attempt_no, cluster=workload.cluster, handle=handle)


def _end_stopped() -> None:
    stopped = Workload.objects.filter(state=State.QUEUED, desired_state=DesiredState.STOP, next_reconcile_at__lte=Now())
    for workload in stopped[:_PAGE]:
        ended = Greatest(Now(), F("started_at"))  # of an earlier attempt, if there was one
        facts = {"reason": "Stopped", "message": workload.stop_cause, "finished_at": ended}
        try:
            transition(workload, State.STOPPED, actor="reconcile", **facts)
        except Stale:
            continue  # another worker has it


def closed_clusters() -> list[Cluster]:
    """Return the clusters that take nothing new. When there were none, that is believed for a second: `_admit` looks too."""
    if time.monotonic() < _all_open_until:
        return []
    found = list(Cluster.objects.exclude(is_enabled=True, is_drained=False))
    _believe_open(seconds=0.0 if found else 1.0)
    return found


def _believe_open(*, seconds: float) -> None:
    global _all_open_until  # noqa: PLW0603 -- one memory per process
    _all_open_until = time.monotonic() + seconds


# -- the queue in the database

_COLUMNS = """
    SELECT w.id, w.quota_node_id, n.path, w.cluster_id, w.amounts, w.timeout_seconds, w.grace_seconds, w.rank,
           extract(epoch FROM w.queued_at)::double precision, w.size, w.message
      FROM compute_workload w JOIN quotas_quotanode n ON n.id = w.quota_node_id
"""
_WAITING = """
    w.state = 'queued' AND w.desired_state = 'run' AND w.next_reconcile_at <= statement_timestamp()
    AND NOT w.cluster_id = ANY(%(closed)s::uuid[])
"""
# The pieces are our own; every value is a parameter.
# One probe of the index (quota_node, -rank, -priority, size, queued_at, id) for each leaf, whatever waits behind its first.
_HEADS = f"""
    WITH RECURSIVE leaves(id) AS (
        SELECT min(quota_node_id) FROM compute_workload WHERE state = 'queued'
         UNION ALL
        SELECT (SELECT min(quota_node_id) FROM compute_workload WHERE state = 'queued' AND quota_node_id > leaves.id)
          FROM leaves WHERE leaves.id IS NOT NULL)
    SELECT head.* FROM leaves CROSS JOIN LATERAL (
        {_COLUMNS} WHERE {_WAITING} AND w.quota_node_id = leaves.id
         ORDER BY w.rank DESC, w.priority DESC, w.size, w.queued_at, w.id LIMIT 1) AS head
"""  # noqa: S608
_AFTER = f"""
    {_COLUMNS} WHERE {_WAITING} AND w.quota_node_id = %(leaf)s
       AND (-w.rank, -w.priority, w.size, w.queued_at, w.id)
         > (SELECT -rank, -priority, size, queued_at, id FROM compute_workload WHERE id = %(id)s)
     ORDER BY w.rank DESC, w.priority DESC, w.size, w.queued_at, w.id LIMIT %(limit)s
"""  # noqa: S608
_FIRST = f"""
    SELECT first.* FROM unnest(%(leaves)s::bigint[]) AS leaf(id), LATERAL (
        {_COLUMNS} WHERE {_WAITING} AND w.quota_node_id = leaf.id
         ORDER BY w.rank DESC, w.priority DESC, w.size, w.queued_at, w.id LIMIT %(limit)s) AS first
"""  # noqa: S608
_OVERDUE = f"""
    {_COLUMNS} WHERE {_WAITING} AND w.queued_at < statement_timestamp() - %(patience)s::interval ORDER BY w.queued_at, w.id LIMIT %(limit)s
"""
_ENDS = """
    SELECT (amounts ->> %(resource)s)::bigint, extract(epoch FROM ends_by)::double precision FROM quotas_reservation
     WHERE released_at IS NULL AND node_ids @> ARRAY[%(node)s]::bigint[] AND amounts ? %(resource)s
"""
_EXPECTED = _ENDS.replace(
    "ends_by",
    "coalesce(ends_by, greatest(held_at + %(assumed)s::interval, statement_timestamp() + interval '1 minute'))",
)


class DatabaseQueue:
    """What waits for admission, on clusters that take new work. Remembers what each was told last."""

    def __init__(self, closed: Iterable[Cluster] = ()) -> None:
        self._closed = [cluster.pk for cluster in closed]
        self._overdue: list[Candidate] | None = None
        self._heads: list[Candidate] | None = None
        self.told: dict[UUID, str] = {}

    def overdue(self) -> list[Candidate]:
        if self._overdue is None:
            given = {"patience": settings.QUEUE_PATIENCE, "limit": _OVERDUE_LOOKED_AT}
            self._overdue = self._read(_OVERDUE, **given)
        return self._overdue

    def heads(self) -> list[Candidate]:
        if self._heads is None:
            self._heads = self._read(_HEADS)
        return self._heads

    def after(self, candidate: Candidate, count: int) -> list[Candidate]:
        return self._read(_AFTER, leaf=candidate.leaf, id=candidate.id, limit=count)

    def first(self, leaves: Sequence[int], count: int) -> dict[int, list[Candidate]]:
        """Return the first `count` of each of `leaves`, for who wants to see them and not to admit them."""
        found: dict[int, list[Candidate]] = {leaf: [] for leaf in leaves}
        for candidate in self._read(_FIRST, leaves=list(leaves), limit=count):
            found[candidate.leaf].append(candidate)
        return found

    def _read(self, statement: str, **given: Any) -> list[Candidate]:
        with connection.cursor() as cursor:
            cursor.execute(statement, {"closed": self._closed, **given})
            rows = cursor.fetchall()
        self.told |= {row[0]: row[-1] for row in rows}
        return [_candidate(*row) for row in rows]


def _candidate(*row: Any) -> Candidate:
    """Make a candidate of the columns of `_COLUMNS`."""
    pk, leaf, path, cluster, amounts, timeout, grace, rank, queued_at, size, _ = row
    need = {name: amount for name, amount in orjson.loads(amounts).items() if amount > 0}
    seconds = services.worst_seconds(timeout, grace)
    entry = quotas.weigh(need) * settings.FAIR_SHARE_ENTRY_SECONDS
    return Candidate(pk, leaf, tuple(path), _cluster_node(cluster), need, seconds, rank, queued_at, entry, size)


def _cluster_node(cluster: UUID) -> int:
    if cluster not in _nodes:
        _nodes[cluster] = services.cluster_node(Cluster.objects.get(pk=cluster)).pk
    return _nodes[cluster]


def read_candidate(workload: Workload) -> Candidate:
    """Read one workload as the order sees it."""
    with connection.cursor() as cursor:
        cursor.execute(f"{_COLUMNS} WHERE w.id = %s", [workload.pk])
        return _candidate(*cursor.fetchone())


def ends_of(node_id: int, resource: str) -> list[tuple[int, float | None]]:
    """List what is held of `resource` below a node: how much each time, and when its limit will have ended it."""
    with connection.cursor() as cursor:
        cursor.execute(_ENDS, {"node": node_id, "resource": resource})
        return [(amount, end) for amount, end in cursor.fetchall()]


def expected_ends(node_id: int, resource: str) -> list[tuple[int, float | None]]:
    """As `ends_of`, where what has no limit is taken to run as long as is assumed of such work, and a moment more if it already did."""
    given: dict[str, Any] = {"node": node_id, "resource": resource, "assumed": settings.QUEUE_ASSUMED_RUN}
    with connection.cursor() as cursor:
        cursor.execute(_EXPECTED, given)
        return [(amount, end) for amount, end in cursor.fetchall()]


# Where all of it together is not enough, as often when much runs, nothing is put in order.
_HELD = """
    quotas_reservation WHERE released_at IS NULL AND ends_by IS NOT NULL AND node_ids @> ARRAY[%(node)s]::bigint[] AND amounts ? %(resource)s
"""
_FREED = f"""
    WITH freed AS (
        SELECT ends_by, sum((amounts ->> %(resource)s)::bigint) OVER (ORDER BY ends_by, id ROWS UNBOUNDED PRECEDING) AS amount
          FROM {_HELD} AND (SELECT sum((amounts ->> %(resource)s)::bigint) FROM {_HELD}) >= %(amount)s)
    SELECT greatest(min(ends_by), statement_timestamp()) FROM freed WHERE amount >= %(amount)s HAVING count(*) > 0
"""  # noqa: S608 -- our own pieces; every value is a parameter


def freed_at(node_id: int, resource: str, amount: int) -> datetime | None:
    """Return when so much of `resource` will have become free below a node, if all that has a limit of time runs until then.

    None when what has no limit is in the way.
    """
    with connection.cursor() as cursor:
        cursor.execute(_FREED, {"node": node_id, "resource": resource, "amount": amount})
        row = cursor.fetchone()
    return row[0] if row else None


def assumed_seconds() -> float:
    return settings.QUEUE_ASSUMED_RUN.total_seconds()


# -- what those are told who wait


def _explain(turn: Pass, queue: DatabaseQueue, closed: Sequence[Cluster]) -> None:
    """Say why they wait, where that changed: each that was looked at, and at times all that wait behind them."""
    for pk, (message, reason) in turn.messages.items():
        if queue.told.get(pk) != message:
            _waiting().filter(pk=pk).update(message=message, reason=reason)
    for cluster in closed:
        _tell_all(Q(cluster_id=cluster.pk), f"waiting: the cluster {cluster} takes no new work", "Drained", [])
    looked_at, told = list(turn.messages), Q()
    for _, wait in turn.waits:
        behind = _behind(wait.full)
        if _tell_all(behind & ~told if told else behind, wait.full.message_behind, "QuotaFull", looked_at):
            told |= behind


def _tell_all(rows: Q, message: str, reason: str, looked_at: list[UUID]) -> bool:
    """Tell all but those that were looked at themselves; not again before some seconds have passed."""
    now = time.monotonic()
    if now - _told.get(message, float("-inf")) < _TELL_AGAIN_SECONDS:
        return False
    if len(_told) > _MOST_TOLD:
        _told.clear()
    _told[message] = now
    others = _waiting().filter(rows).exclude(pk__in=looked_at).exclude(message=message)
    # All of fifty thousand would stop the turn for seconds.
    some = others.order_by("queued_at").values_list("pk", flat=True)[:_TOLD_AT_ONCE]
    Workload.objects.filter(pk__in=list(some)).update(message=message, reason=reason)
    return True


def _waiting() -> QuerySet[Workload]:
    """Return what waits for admission: what waits for its environment first is told of that."""
    waiting = Workload.objects.filter(state=State.QUEUED, desired_state=DesiredState.RUN)
    return waiting.exclude(next_reconcile_at=None)


def _behind(full: quotas.Full) -> Q:
    """Describe what would use the same full resource below the node."""
    blocked = Q(amounts__has_key=full.resource)
    clusters = [cluster for cluster, node in _nodes.items() if node == full.node_id]
    return blocked & (Q(cluster_id__in=clusters) if clusters else Q(quota_node__path__contains=[full.node_id]))
