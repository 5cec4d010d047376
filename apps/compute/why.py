"""Why a workload waits: what is in its way, with the numbers, who can change that, what would fit, and when it may start.

SECURITY: what others use of limits that tenants share (the platform's, a cluster's) is told to operators only; so is what
would follow from it: how much less would fit, and when it may start.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from django.db import connection
from django.db.models import QuerySet

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


@dataclass(frozen=True, slots=True)
class Standing:
    """One step of the way to a person's rank: what a node has used lately, its weight, and what follows from them."""

    node: str
    cpu_hours: float
    weight: int
    score: float


@dataclass(frozen=True, slots=True)
class Why:
    """The answer. `remedies` are sentences; `position` counts from 1 among what the reader may see."""

    state: str
    reason: str
    sentence: str
    obstacles: Sequence[Obstacle] = ()
    remedies: Sequence[str] = ()
    position: int | None = None
    starts_at: datetime | None = None
    standing: Sequence[Standing] = field(default_factory=tuple)


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
    return Why(
        workload.state,
        workload.reason or ("QuotaFull" if over else "Queued"),
        workload.message
        or ("It waits for its turn." if not over else over[0].full(candidate.need[over[0].resource]).message),
        [_obstacle(line, candidate, tells_all=tells_all) for line in over],
        [] if hidden else _remedies(candidate, books, over),
        _position(candidate, seen),
        None if hidden else _starts_at(candidate, over),
        standing_of(candidate.path),
    )


def _sentence(candidate: Candidate, over: Sequence[quotas.Line]) -> str:
    return (
        over[0].full(candidate.need[over[0].resource]).message
        if over
        else "waiting: it is looked at with the next turn"
    )


def _obstacle(line: quotas.Line, candidate: Candidate, *, tells_all: bool) -> Obstacle:
    full = line.full(candidate.need[line.resource])
    used = full.used if tells_all or not full.is_shared else None
    sentence = full.message.removeprefix("waiting: ")
    return Obstacle(full.node, line.kind, line.resource, full.limit, used, full.need, sentence, _changed_by(line))


def _changed_by(line: quotas.Line) -> list[str]:
    """Name who can change a limit: an admin; for what a team hands out to its members, its maintainers as well."""
    parent = QuotaNode.objects.filter(children=line.node_id, kind=NodeKind.TEAM).values_list("key", flat=True).first()
    if parent is None:
        return ["an admin"]
    team = int(parent.partition(":")[2])
    maintainers = User.objects.filter(memberships__team_id=team, memberships__role=TeamRole.MAINTAINER, is_active=True)
    return [*maintainers.order_by("username").values_list("username", flat=True)[:_MANAGES], "an admin"]


def _remedies(candidate: Candidate, books: quotas.Books, over: Sequence[quotas.Line]) -> list[str]:
    """Say what would fit at once: less of what is short, if there is any of it at all."""
    fewer = {}
    for resource in dict.fromkeys(line.resource for line in over):
        most = books.at_most(candidate.node_ids, resource)
        if most is None or most <= 0:
            return []
        fewer[resource] = candidate.need[resource] - most
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


_WAITS = "w.state = 'queued' AND w.desired_state = 'run'"
# Of each leaf, how much waits with a higher rank and with the same one: nothing is compared row by row that a count decides.
_COUNTS = f"""
    SELECT w.quota_node_id, count(*) FILTER (WHERE w.rank > %(rank)s), count(*) FILTER (WHERE w.rank = %(rank)s)
      FROM compute_workload w WHERE {_WAITS} {{seen}} GROUP BY 1
"""  # noqa: S608 -- the pieces are our own; every value is a parameter
# What decides among those that are level with it, and among its owner's own.
_LEVEL = f"""
    SELECT count(*) FROM compute_workload w
     WHERE {_WAITS} {{seen}} AND w.quota_node_id = ANY(%(level)s::bigint[]) AND w.rank = %(rank)s
       AND (w.queued_at, w.id) < (SELECT queued_at, id FROM compute_workload WHERE id = %(id)s)
"""  # noqa: S608
_OWN = f"""
    SELECT count(*) FROM compute_workload w
     WHERE {_WAITS} {{seen}} AND w.quota_node_id = %(leaf)s
       AND (-w.rank, -w.priority, w.queued_at, w.id)
         < (SELECT -rank, -priority, queued_at, id FROM compute_workload WHERE id = %(id)s)
"""  # noqa: S608
_PATHS = "SELECT id, path FROM quotas_quotanode WHERE id = ANY(%(leaves)s)"


def _position(candidate: Candidate, seen: QuerySet[Any] | None) -> int:
    """Return its place among what waits: by priority, then by what was used lately, then by time."""
    some = "" if seen is None else "AND w.id = ANY(%(seen)s)"
    facts: dict[str, Any] = {"id": candidate.id, "leaf": candidate.leaf, "rank": candidate.rank}
    facts |= {} if seen is None else {"seen": list(seen)}

    def rows(statement: str, **more: Any) -> list[Any]:
        with connection.cursor() as cursor:
            cursor.execute(statement.format(seen=some), {**facts, **more})
            return list(cursor.fetchall())

    counts = {leaf: (higher, equal) for leaf, higher, equal in rows(_COUNTS)}
    paths = dict(rows(_PATHS, leaves=[*counts, candidate.leaf]))
    shares = quotas.shares_of({node for path in paths.values() for node in path})

    def rank(leaf: int) -> tuple[float, ...]:
        return tuple(shares[node].score if node in shares else 0.0 for node in paths[leaf][1:])

    own, level = rank(candidate.leaf), []
    ahead = int(rows(_OWN)[0][0])
    for leaf, (higher, equal) in counts.items():
        if leaf == candidate.leaf:
            continue
        theirs = rank(leaf)
        ahead += higher + (equal if theirs < own else 0)
        if theirs == own:
            level.append(leaf)
    if level:
        ahead += int(rows(_LEVEL, level=level)[0][0])
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
