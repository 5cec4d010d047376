"""What I use, what I may use, and what waits: read for the usage page and the API alike."""

from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet

from apps.compute import order as places
from apps.compute.choices import State
from apps.experiments.models import Experiment
from apps.quotas.models import QuotaLimit, QuotaNode

_LONGEST = 100


@dataclass(frozen=True, slots=True)
class NodeUsage:
    kind: str
    name: str
    resources: dict[str, dict[str, int | None]]


@dataclass(frozen=True, slots=True)
class Waiting:
    id: str
    name: str
    position: int
    reason: str


def nodes_of(user: Any) -> list[NodeUsage]:
    """Return the quota nodes the person may see, from the top, with used and limit in base units."""
    nodes = {node.pk: node for node in QuotaNode.objects.visible_to(user, "view").order_by("depth", "name")}
    found = {pk: NodeUsage(node.kind, node.name, {}) for pk, node in nodes.items()}
    for row in QuotaLimit.objects.filter(node_id__in=nodes).order_by("resource"):
        found[row.node_id].resources[row.resource] = {"used": row.used, "limit": row.limit}
    return list(found.values())


def queued_for(user: Any) -> QuerySet[Experiment]:
    """Keep what waits and the person may see."""
    seen: QuerySet[Experiment] = Experiment.objects.visible_to(user, "view").live()
    return seen.filter(workload__state=State.QUEUED)


def waiting_of(user: Any) -> list[Waiting]:
    """Return the person's own queued experiments with their place among those that he may see (1 is next)."""
    queued = queued_for(user)
    own = queued.filter(run__owner_id=user.pk)
    rows = list(own.select_related("workload", "run").order_by("workload__queued_at")[:_LONGEST])
    if not rows:
        return []
    order = dict(places.in_order(list(queued.order_by().values_list("workload_id", flat=True))))
    told = [(order.get(row.workload_id, len(order)), row) for row in rows]
    return [
        Waiting(str(row.pk), row.run.name, place, row.workload.message)
        for place, row in sorted(told, key=lambda p: p[0])
    ]
