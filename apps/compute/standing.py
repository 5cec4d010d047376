"""Who stands where in the queue: the waiting, in the order in which admission tries them."""

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from apps.compute.models import Workload
from apps.compute.queue import Candidate, rank_of
from apps.compute.reconcile.admit import DatabaseQueue, closed_clusters
from apps.quotas import services as quotas
from apps.quotas.models import QuotaNode

MOST_SHOWN = 100
PER_CPU_HOUR = 360_000  # fair share counts hundredths of CPU seconds


@dataclass(frozen=True, slots=True)
class Place:
    """One that waits, and what its place follows from. `standing`: what each node down to its own used over its weight."""

    position: int
    workload: Workload
    is_overdue: bool
    standing: list[tuple[str, float]]


def places(rows: QuerySet[Workload], *, most: int = MOST_SHOWN) -> list[Place]:
    """List the first `most` of what waits for admission on clusters that take work, of those that are among `rows`.

    Five queries, however many wait. Fair share is as it is now: each start moves the others of its owner back.
    """
    queue = DatabaseQueue(closed_clusters())
    overdue, heads = queue.overdue(), queue.heads()
    shares = quotas.shares_of({node for one in (*overdue, *heads) for node in one.path})
    lined_up = _lined_up(queue, overdue, heads, shares, most)
    found = {row.pk: row for row in rows.filter(pk__in=[one.id for one in lined_up])}
    names = dict(
        QuotaNode.objects.filter(pk__in={node for one in lined_up for node in one.path}).values_list("pk", "name")
    )
    first = {one.id for one in oldest(overdue)}
    return [
        Place(number, found[one.id], one.id in first, _standing(one, shares, names))
        for number, one in enumerate(lined_up, 1)
        if one.id in found
    ]


def _lined_up(
    queue: DatabaseQueue, overdue: list[Candidate], heads: list[Candidate], shares: dict[int, quotas.Share], most: int
) -> list[Candidate]:
    first = oldest(overdue)[:most]
    seen = {one.id for one in first}
    # What is behind the first of so many leaves, comes after all of these.
    nearest = heapq.nsmallest(most, heads, key=lambda one: rank_of(one, shares))
    following = queue.first([one.leaf for one in nearest], most)
    lines = [((rank_of(one, shares), one) for one in _unseen(leaf, seen)) for leaf in following.values()]
    others = [one for _, one in _merged(lines, most)]
    return [*first, *others][:most]


def oldest(overdue: Sequence[Candidate]) -> list[Candidate]:
    """Return those that go before their turn: of each cluster the one that has waited longest."""
    return list({one.cluster_node: one for one in reversed(overdue)}.values())[::-1]


def _unseen(leaf: list[Candidate], seen: set[UUID]) -> Iterator[Candidate]:
    return (one for one in leaf if one.id not in seen)


def _merged(lines: Sequence[Iterator[tuple[Any, Candidate]]], most: int) -> Iterator[tuple[Any, Candidate]]:
    """Take always the first of the line whose first is before those of the others; within a line its owner has decided."""
    heap = [(*first, place) for place, line in enumerate(lines) if (first := next(line, None)) is not None]
    heapq.heapify(heap)
    for _ in range(most):
        if not heap:
            return
        rank, one, place = heapq.heappop(heap)
        yield rank, one
        if (following := next(lines[place], None)) is not None:
            heapq.heappush(heap, (*following, place))


def _standing(one: Candidate, shares: dict[int, quotas.Share], names: dict[int, str]) -> list[tuple[str, float]]:
    return [(names.get(node, ""), shares[node].score / PER_CPU_HOUR) for node in one.path[1:] if node in shares]
