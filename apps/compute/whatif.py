"""What if: which of the waiting would start if some limits were others. Looks; changes nothing."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from apps.compute.models import Workload
from apps.compute.queue import Candidate, Start, Walk
from apps.compute.reconcile.admit import DatabaseQueue, assumed_seconds, closed_clusters, expected_ends
from apps.quotas import services as quotas
from apps.quotas.choices import NodeKind
from apps.quotas.models import QuotaNode, Resource

MOST_SHOWN = 200

Limits = Mapping[tuple[int, str], int | None]


@dataclass(frozen=True, slots=True)
class WhatIf:
    """What would start now as things are, what else with the other limits, and what not any more; in the order of the queue.

    At most 200 starts are looked for.
    """

    as_it_is: list[Workload]
    besides: list[Workload]
    no_more: list[Workload] = field(default_factory=list)


def what_if(limits: Limits, borrows: Mapping[tuple[int, str], int] | None = None) -> WhatIf:
    """Walk the queue with `limits` (of a node and a resource) instead of those in force, and what may be borrowed, too."""
    now = _starting({}, {})
    then = _starting(limits, borrows or {})
    rows: dict[Any, Workload] = Workload.objects.select_related("user", "team").in_bulk({*now, *then})
    return WhatIf(
        [rows[pk] for pk in now if pk in rows],
        [rows[pk] for pk in then if pk in rows and pk not in now],
        [rows[pk] for pk in now if pk in rows and pk not in then],
    )


def _starting(limits: Limits, borrows: Mapping[tuple[int, str], int]) -> list[UUID]:
    queue = DatabaseQueue(closed_clusters())
    waiting: list[Candidate] = [*queue.overdue(), *queue.heads()]
    # Of every cluster: what stands behind the first ones may be bound for another than they are.
    clusters = QuotaNode.objects.filter(kind=NodeKind.CLUSTER).values_list("pk", flat=True)
    nodes = {node_id for one in waiting for node_id in one.node_ids} | {node_id for node_id, _ in limits} | {*clusters}
    books = quotas.look(nodes, Resource.objects.names())
    for node_id, resource in {*limits, *borrows} - books.lines.keys():
        books.lines[node_id, resource] = _missing(node_id, resource)
    for pair, line in books.lines.items():
        line.limit = limits.get(pair, line.limit)
        line.borrow = borrows.get(pair, line.borrow)
    found: list[UUID] = []
    shares = quotas.shares_of(nodes)
    for candidate, outcome in Walk(queue, books, shares, expected_ends, time.time(), assumed=assumed_seconds()):
        if isinstance(outcome, Start):
            found.append(candidate.id)
            if len(found) == MOST_SHOWN:
                break
    return found


def _missing(node_id: int, resource: str) -> quotas.Line:
    """Return the limit row of a resource that came into the world after the node."""
    node = QuotaNode.objects.get(pk=node_id)
    return quotas.Line(0, node_id, resource, None, 0, 0, node.depth, node.kind, node.name)
