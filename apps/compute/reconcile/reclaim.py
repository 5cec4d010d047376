"""Taking back what was lent: when work fits the limit of its own node, and only siblings that hold more than theirs are in
the way, the latest and least important of what they borrowed is stopped and queued again (as Kueue reclaims in a cohort).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import connection

from apps.compute import services
from apps.compute.models import Workload
from apps.compute.queue import Candidate, Wait
from apps.quotas import services as quotas
from apps.quotas.choices import NodeKind, in_units, words
from apps.quotas.models import QuotaNode

MOST_PER_TURN = 20  # waiting ones for which this is looked into

_BORROWERS = """
    SELECT l.node_id, l.used - l."limit" FROM quotas_quotalimit l JOIN quotas_quotanode n ON n.id = l.node_id
     WHERE n.parent_id = %(parent)s AND l.resource = %(resource)s AND l.used > l."limit" AND n.id <> %(own)s
     ORDER BY l.used - l."limit" DESC, l.node_id
"""
_HELD = """
    SELECT w.id, (r.amounts ->> %(resource)s)::bigint, w.desired_state = 'stop'
      FROM quotas_reservation r JOIN compute_attempt a ON a.handle = r.key JOIN compute_workload w ON w.id = a.workload_id
     WHERE r.released_at IS NULL AND r.node_ids @> ARRAY[%(node)s]::bigint[] AND r.amounts ? %(resource)s
     ORDER BY w.rank, w.priority, r.held_at DESC, r.id DESC
"""


@dataclass(frozen=True, slots=True)
class Loan:
    """What a node holds beyond its limit, of a resource that another one's work waits for."""

    node_id: int
    resource: str
    borrowed: int


def reclaim(candidate: Candidate, wait: Wait, books: quotas.Books) -> str:
    """Ask for the end of as much borrowed work as is in the way of `candidate`; return what it is told, or "".

    Nothing is stopped unless that makes room at every limit it exceeds. Safe to repeat: what is being stopped counts.
    """
    chosen: dict[UUID, Loan] = {}
    loans: list[Loan] = []
    for line in wait.over:
        found = _choose(candidate, line, books, set(chosen))
        if found is None:
            return ""
        victims, lent = found
        chosen |= victims
        loans += lent
    names = dict(QuotaNode.objects.filter(pk__in=[loan.node_id for loan in loans]).values_list("pk", "name"))
    taker = _taker(candidate, wait)
    for pk, loan in chosen.items():
        what = f"{words(loan.resource)} that {names[loan.node_id]} had borrowed"
        services.preempt(Workload.objects.get(pk=pk), cause=f"preempted: {taker} takes back {what}")
    return f"waiting: {_told(candidate, wait, loans, names)}"


def _choose(
    candidate: Candidate, line: quotas.Line, books: quotas.Books, taken: set[UUID]
) -> tuple[dict[UUID, Loan], list[Loan]] | None:
    """Choose what has to stop for one limit: nothing more than is in the way. None: it would not help."""
    own = _below(candidate, line)
    if line.kind == NodeKind.CLUSTER or own is None:
        return None
    mine, need = books.lines.get((own, line.resource)), candidate.need[line.resource]
    if mine is None or mine.limit is None or mine.used + need > mine.limit:
        return None
    missing = need - (line.free or 0)
    victims, loans = {}, []
    with connection.cursor() as cursor:
        cursor.execute(_BORROWERS, {"parent": line.node_id, "resource": line.resource, "own": own})
        for node_id, beyond in cursor.fetchall():
            loan = Loan(node_id, line.resource, beyond)
            loans.append(loan)
            cursor.execute(_HELD, {"node": node_id, "resource": line.resource})
            held = cursor.fetchall()
            coming = sum(amount for _, amount, is_stopping in held if is_stopping)
            missing, borrowed = missing - coming, beyond - coming
            for pk, amount, is_stopping in held:
                if missing <= 0 or borrowed <= 0:
                    break
                if not is_stopping:
                    missing, borrowed = missing - amount, borrowed - amount
                    if pk not in taken:
                        victims[pk] = loan
    return (victims, loans) if missing <= 0 and loans else None


def _below(candidate: Candidate, line: quotas.Line) -> int | None:
    """Return the node on the candidate's path right below the full one: whose own limit has to allow it."""
    following = candidate.path[candidate.path.index(line.node_id) + 1 :] if line.node_id in candidate.path else ()
    return next(iter(following), None)


def _taker(candidate: Candidate, wait: Wait) -> str:
    own = _below(candidate, wait.over[0])
    return str(QuotaNode.objects.get(pk=own)) if own else "somebody"


def _told(candidate: Candidate, wait: Wait, loans: Sequence[Loan], names: dict[int, Any]) -> str:
    first = wait.over[0]
    amount = in_units(first.resource, candidate.need[first.resource] - (first.free or 0))
    of = ", ".join(dict.fromkeys(str(names[loan.node_id]) for loan in loans))
    return f"{amount} {words(first.resource)} are being taken back from {of}, which borrowed them"
