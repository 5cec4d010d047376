"""What I use, what I may use, and what waits: read for the usage page and the API alike."""

from dataclasses import dataclass
from typing import Any

from apps.compute import why
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


def waiting_of(user: Any) -> list[Waiting]:
    """Return the person's own queued experiments with their place among those that he may see (1 is next)."""
    queued = Experiment.objects.visible_to(user, "view").live().filter(workload__state=State.QUEUED)
    own = queued.filter(run__owner_id=user.pk)
    rows = list(own.select_related("workload", "run").order_by("workload__queued_at")[:_LONGEST])
    if not rows:
        return []
    order = {
        pk: place for place, pk in enumerate(why.order_of(queued.order_by().values_list("workload", flat=True)), 1)
    }
    places = [(order.get(row.workload_id, len(order)), row) for row in rows]
    return [
        Waiting(str(row.pk), row.run.name, place, row.workload.message)
        for place, row in sorted(places, key=lambda p: p[0])
    ]
