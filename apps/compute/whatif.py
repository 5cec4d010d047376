"""What if: which of the waiting would start if some limits were others. Looks; changes nothing."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from apps.compute.models import Workload
from apps.compute.queue import Candidate, Start, Walk
from apps.compute.reconcile.admit import DatabaseQueue, closed_clusters, ends_of
from apps.quotas import services as quotas
from apps.quotas.models import Resource

MOST_SHOWN = 200


@dataclass(frozen=True, slots=True)
class WhatIf:
    """What would start now as things are, and what else with the other limits; at most 200 of each are looked for."""

    as_it_is: list[Workload]
    besides: list[Workload]


def what_if(limits: Mapping[tuple[int, str], int | None]) -> WhatIf:
    """Walk the queue with `limits` (of a node and a resource) instead of those in force."""
    now = set(_starting({}))
    then = _starting(limits)
    rows = Workload.objects.select_related("user", "team").in_bulk([*now, *then])
    return WhatIf([rows[pk] for pk in now if pk in rows], [rows[pk] for pk in then if pk in rows and pk not in now])


def _starting(limits: Mapping[tuple[int, str], int | None]) -> list[UUID]:
    queue = DatabaseQueue(closed_clusters())
    waiting: list[Candidate] = [*queue.overdue(), *queue.heads()]
    nodes = {node_id for one in waiting for node_id in one.node_ids} | {node_id for node_id, _ in limits}
    books = quotas.look(nodes, Resource.objects.names())
    for pair, limit in limits.items():
        if pair in books.lines:
            books.lines[pair].limit = limit
    found = []
    for candidate, outcome in Walk(queue, books, quotas.shares_of(nodes), ends_of, time.time()):
        if isinstance(outcome, Start):
            found.append(candidate.id)
            if len(found) == MOST_SHOWN:
                break
    return found
