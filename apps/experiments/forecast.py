"""What would become of a request if it were made now: a guess, for admission decides later."""

from dataclasses import dataclass
from typing import Any

from apps.compute import placement
from apps.compute import services as compute
from apps.compute.models import Workload
from apps.core.errors import DomainError, Invalid
from apps.experiments import services
from apps.experiments.spec import Parsed
from apps.quotas import services as quotas
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
        needs = services.request_of(parsed).amounts
        quotas.require_known(needs)
        quotas.require_possible(node, there.key, needs)
        chosen = compute.priority_class(parsed.get("priority_class", ""), user=by, team=team)
    except Invalid as refusal:
        return Forecast("never", next(iter(refusal.errors.values()), [refusal.detail])[0])
    except DomainError as refusal:
        return Forecast("never", refusal.detail)
    if not cluster.is_open:
        return Forecast("waits", f"It would wait: the cluster {cluster} takes no new work.")
    if (full := quotas.look([*node.path, there.pk], needs).full([*node.path, there.pk], needs)) is not None:
        return Forecast("waits", f"It would wait: {full.message.removeprefix('waiting: ')}.")
    if Workload.objects.queue().filter(cluster=cluster, rank__gte=chosen.rank if chosen else 0).exists():
        return Forecast("waits", f"There is room on {cluster}, but what was queued before goes first.")
    return Forecast("fits", f"It fits now and would start on {cluster} at once.")


def _team(slug: str | None, by: Any) -> Team | None:
    if slug is None:
        return None
    found: Team | None = Team.objects.visible_to(by, "submit").select_related("organization").filter(slug=slug).first()
    return found
