"""What would become of a request if it were made now: a guess, for admission decides later."""

from dataclasses import dataclass
from typing import Any

from apps.compute import placement
from apps.compute import services as compute
from apps.compute.models import Workload
from apps.core.errors import DomainError
from apps.experiments import services
from apps.experiments.spec import Parsed
from apps.quotas import services as quotas
from apps.quotas.choices import EXPERIMENTS
from apps.quotas.models import QuotaLimit
from apps.quotas.services import Full
from apps.teams.models import Team


@dataclass(frozen=True, slots=True)
class Forecast:
    verdict: str  # "fits" | "waits" | "never"
    sentence: str


def forecast(parsed: Parsed, *, by: Any) -> Forecast:
    """Judge a specification against the limits and the queue of this moment. Writes nothing but missing quota nodes."""
    try:
        cluster = placement.choose(parsed.get("cluster", {}))
        team = _team(parsed.get("team"), by)
        node = services.quota_node(by, team)
        there = compute.cluster_node(cluster)
        quotas.require_possible(node, there.key, _needs(parsed))
    except DomainError as refusal:
        return Forecast("never", refusal.detail)
    if not cluster.is_open:
        return Forecast("waits", f"It would wait: the cluster {cluster} takes no new work.")
    if (full := _full([*node.path, there.pk], _needs(parsed))) is not None:
        return Forecast("waits", f"It would wait: {full.message.removeprefix('waiting: ')}.")
    if Workload.objects.queue().filter(cluster=cluster, priority__gte=parsed.get("priority", 0)).exists():
        return Forecast("waits", f"There is room on {cluster}, but what was queued before goes first.")
    return Forecast("fits", f"It fits now and would start on {cluster} at once.")


def _team(slug: str | None, by: Any) -> Team | None:
    if slug is None:
        return None
    found: Team | None = Team.objects.visible_to(by, "submit").select_related("organization").filter(slug=slug).first()
    return found


def _needs(parsed: Parsed) -> dict[str, int]:
    amounts = {
        "cpu": parsed.cpu_milli,
        "memory": parsed.memory_bytes,
        "gpu": parsed.gpu_milli,
        "disk": parsed.disk_bytes,
    }
    return {resource: amount for resource, amount in amounts.items() if amount} | {EXPERIMENTS: 1}


def _full(node_ids: list[int], needs: dict[str, int]) -> Full | None:
    rows = QuotaLimit.objects.filter(node_id__in=node_ids, resource__in=needs, limit__isnull=False).select_related(
        "node"
    )
    for row in rows.order_by("node__depth", "resource"):
        if row.limit is not None and row.used + needs[row.resource] > row.limit:
            need = needs[row.resource]
            return Full(row.node_id, str(row.node), row.resource, row.used, row.limit, need, row.node.is_shared)
    return None
