"""Why a workload waits: what is in its way, with the numbers, who can change that, what would fit, and when it may start.

SECURITY: what others use of limits that tenants share (the platform's, a cluster's) is told to operators only; so is what
would follow from it: how much less would fit, and when it may start.
"""

import heapq
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection
from django.db.models import QuerySet
from django.utils import timezone

from apps.accounts.models import User
from apps.compute.choices import DesiredState, State
from apps.compute.models import Workload
from apps.compute.queue import Candidate, Walk
from apps.compute.reconcile.admit import ends_of, read_candidate
from apps.quotas import services as quotas
from apps.quotas.choices import NodeKind, in_units, words
from apps.quotas.models import QuotaNode, Resource
from apps.teams.choices import TeamRole

_MANAGES = 20  # how many of those who can change a limit are named


@dataclass(frozen=True, slots=True)
class Obstacle:
    """A limit that the workload exceeds now. Amounts in base units; None where it is not for the reader."""

    node: str
    kind: str
    resource: str
    limit: int
    used: int | None
    need: int
    sentence: str
    changed_by: Sequence[str]
    node_id: int = 0


@dataclass(frozen=True, slots=True)
class Standing:
    """One step of the way to a person's rank: what a node has used lately, its weight, and what follows from them."""

    node: str
    cpu_hours: float
    weight: int
    score: float


@dataclass(frozen=True, slots=True)
class Why:
    """The answer. `remedies` are sentences; `position` counts from 1 among what the reader may see.

    `fits`: how much of what is short would fit now, in base units; empty where nothing of it would.
    """

    state: str
    reason: str
    sentence: str
    obstacles: Sequence[Obstacle] = ()
    remedies: Sequence[str] = ()
    position: int | None = None
    starts_at: datetime | None = None
    standing: Sequence[Standing] = field(default_factory=tuple)
    fits: Mapping[str, int] = field(default_factory=dict)


def explain(workload: Workload, *, by: Any, seen: QuerySet[Any] | None = None) -> Why:
    """Explain where a workload stands. `seen`: ids of the queued workloads that `by` may see, for the position; None: all.

    The caller has judged that `by` may see it.
    """
    if workload.state != State.QUEUED or workload.desired_state == DesiredState.STOP:
        return Why(workload.state, workload.reason, workload.message or f"It is {workload.state}.")
    candidate = read_candidate(workload)
    tells_all = by.is_superuser or getattr(by, "is_auditor", False) or getattr(by, "is_system", False)
    books = quotas.look(candidate.node_ids, Resource.objects.names())
    over = books.over(candidate.node_ids, candidate.need)
    told = over if tells_all else [line for line in over if not line.full(0).is_shared]
    hidden = len(told) < len(over)
    fits = {} if hidden else _fits(candidate, books, over)
    return Why(
        workload.state,
        workload.reason or ("QuotaFull" if over else "Queued"),
        workload.message
        or ("It waits for its turn." if not over else over[0].full(candidate.need[over[0].resource]).message),
        [_obstacle(line, candidate, tells_all=tells_all) for line in over],
        _remedies(candidate, fits),
        _position(candidate, seen),
        None if hidden else _starts_at(candidate, over),
        standing_of(candidate.path) if tells_all or _sees(by, candidate.leaf) else (),
        fits,
    )


def _sees(by: Any, leaf: int) -> bool:
    """SECURITY: who only looks at this experiment, through a share for example, is not told what its team has used lately."""
    return QuotaNode.objects.visible_to(by, "view").filter(pk=leaf).exists()


def _obstacle(line: quotas.Line, candidate: Candidate, *, tells_all: bool) -> Obstacle:
    full = line.full(candidate.need[line.resource])
    used = full.used if tells_all or not full.is_shared else None
    sentence = full.message.removeprefix("waiting: ")
    who = _changed_by(line)
    return Obstacle(full.node, line.kind, line.resource, full.limit, used, full.need, sentence, who, line.node_id)


def _changed_by(line: quotas.Line) -> list[str]:
    """Name who can change a limit: an admin; for what a team hands out to its members, its maintainers as well."""
    parent = QuotaNode.objects.filter(children=line.node_id, kind=NodeKind.TEAM).values_list("key", flat=True).first()
    if parent is None:
        return ["an admin"]
    team = int(parent.partition(":")[2])
    maintainers = User.objects.filter(memberships__team_id=team, memberships__role=TeamRole.MAINTAINER, is_active=True)
    return [*maintainers.order_by("username").values_list("username", flat=True)[:_MANAGES], "an admin"]


def _fits(candidate: Candidate, books: quotas.Books, over: Sequence[quotas.Line]) -> dict[str, int]:
    """Return what would fit at once of each resource that is short, if there is some of all of them."""
    found = {}
    for resource in dict.fromkeys(line.resource for line in over):
        most = books.at_most(candidate.node_ids, resource)
        if most is None or most <= 0:
            return {}
        found[resource] = most
    return found


def _remedies(candidate: Candidate, fits: Mapping[str, int]) -> list[str]:
    """Say what would fit at once: less of what is short."""
    fewer = {resource: candidate.need[resource] - most for resource, most in fits.items()}
    parts = [f"{in_units(resource, amount)} {words(resource)} fewer" for resource, amount in fewer.items()]
    return [f"With {' and '.join(parts)} it would start now."] if parts else []


def _starts_at(candidate: Candidate, over: Sequence[quotas.Line]) -> datetime | None:
    """Return when it could start at the latest, if what holds its place ends at its limit of time and nobody goes before."""
    now = time.time()
    if not over:
        return None
    obstacles = [(line.node_id, line.resource, candidate.need[line.resource], line.free or 0) for line in over]
    start, _ = Walk.start_of(obstacles, ends_of, now)
    return None if start is None else datetime.fromtimestamp(start, UTC)


MOST_ORDERED = 5_000


def order_of(seen: QuerySet[Any] | None = None) -> list[UUID]:
    """Return the ids of what waits in the order in which it is looked at, as if nothing started meanwhile.

    `seen`: ids of the queued workloads that may be told of, flat; None: all. Of more than `MOST_ORDERED` those that rank highest
    and have waited longest.
    """
    rows = _waiting_rows(seen)
    shares = quotas.shares_of({node for row in rows for node in row[2]})
    patience = timezone.now() - settings.QUEUE_PATIENCE
    overdue = sorted((row for row in rows if row[5] < patience), key=lambda row: (row[5], row[0]))
    leaves: dict[int, list[Any]] = {}
    for row in sorted((row for row in rows if row[5] >= patience), key=lambda row: (-row[3], -row[4], row[5], row[0])):
        leaves.setdefault(row[1], []).append(row)

    def turn(leaf: int, place: int) -> tuple[Any, ...]:
        pk, _, path, rank, _, queued_at = leaves[leaf][place]
        scores = tuple(shares[node].score if node in shares else 0.0 for node in path[1:])
        return (-rank, scores, queued_at, pk, leaf, place)

    heap = [turn(leaf, 0) for leaf in leaves]
    heapq.heapify(heap)
    found = [row[0] for row in overdue]
    while heap:
        *_, pk, leaf, place = heapq.heappop(heap)
        found.append(pk)
        if place + 1 < len(leaves[leaf]):
            heapq.heappush(heap, turn(leaf, place + 1))
    return found


def _waiting_rows(seen: QuerySet[Any] | None) -> list[Any]:
    rows = Workload.objects.filter(state=State.QUEUED, desired_state=DesiredState.RUN)
    if seen is not None:
        rows = rows.filter(pk__in=seen)
    columns = ("pk", "quota_node_id", "quota_node__path", "rank", "priority", "queued_at")
    return list(rows.order_by("-rank", "queued_at").values_list(*columns)[:MOST_ORDERED])


_AHEAD = """
    WITH own AS (SELECT * FROM compute_workload WHERE id = %(id)s)
    SELECT w.quota_node_id, n.path, count(*) FILTER (WHERE w.rank > own.rank),
           count(*) FILTER (WHERE w.rank = own.rank),
           count(*) FILTER (WHERE w.rank = own.rank AND (w.queued_at, w.id) < (own.queued_at, own.id)),
           count(*) FILTER (
               WHERE (-w.rank, -w.priority, w.queued_at, w.id) < (-own.rank, -own.priority, own.queued_at, own.id))
      FROM own, compute_workload w JOIN quotas_quotanode n ON n.id = w.quota_node_id
     WHERE w.state = 'queued' AND w.desired_state = 'run' {seen} GROUP BY 1, 2
"""


def _position(candidate: Candidate, seen: QuerySet[Any] | None) -> int:
    """Return its place among what waits: as it is listed, or counted where the queue is too long for a list."""
    order = order_of(seen)
    if candidate.id in order:
        return order.index(candidate.id) + 1
    return _counted(candidate, seen)


def _counted(candidate: Candidate, seen: QuerySet[Any] | None) -> int:
    some = "" if seen is None else "AND w.id = ANY(%(seen)s)"
    facts: dict[str, Any] = {"id": candidate.id, "seen": list(seen or ())}
    with connection.cursor() as cursor:
        cursor.execute(_AHEAD.format(seen=some), facts)
        rows = cursor.fetchall()
    nodes = {node for _, path, *_ in rows for node in path} | set(candidate.path)
    shares = quotas.shares_of(nodes)

    def rank(path: Sequence[int]) -> tuple[float, ...]:
        return tuple(shares[node].score if node in shares else 0.0 for node in path[1:])

    own, ahead = rank(candidate.path), 0
    for leaf, path, higher, equal, earlier, before in rows:
        if leaf == candidate.leaf:
            ahead += before
            continue
        ahead += higher
        if rank(path) == own:
            ahead += earlier
        elif rank(path) < own:
            ahead += equal
    return ahead + 1


def standing_of(path: Sequence[int]) -> list[Standing]:
    """Return how a place in fair share comes about, from the organization down. What others used is not told."""
    shares = quotas.shares_of(path[1:])
    names = {node.pk: str(node) for node in QuotaNode.objects.filter(pk__in=path[1:])}
    return [
        Standing(names[pk], shares[pk].used / 360_000, shares[pk].weight, shares[pk].score / 360_000)
        for pk in path[1:]
        if pk in shares
    ]
