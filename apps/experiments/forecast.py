"""What would become of a request if it were made now: a guess, for admission decides later."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.conf import settings

from apps.budgets import services as budgets
from apps.budgets.choices import in_money
from apps.compute import placement
from apps.compute import services as compute
from apps.compute.models import Cluster, Workload
from apps.core.errors import DomainError, Invalid
from apps.experiments import services
from apps.experiments.spec import Parsed
from apps.quotas import services as quotas
from apps.teams.models import Team


@dataclass(frozen=True, slots=True)
class Forecast:
    """`verdict` is "fits", "waits" or "never"; money in micro-units, nothing where nothing has a price."""

    verdict: str
    sentence: str
    per_hour_micros: int = 0
    worst_micros: int | None = None  # None: it has no time limit, or no price

    @property
    def cost(self) -> str:
        """Say what it costs; "" when nothing has a price."""
        if not self.per_hour_micros:
            return ""
        most = "" if self.worst_micros is None else f", {in_money(self.worst_micros)} at most"
        return f"It costs {in_money(self.per_hour_micros)} {settings.CURRENCY} an hour{most}."


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
    worst = compute.worst_seconds(parsed.timeout_seconds, parsed.grace_seconds)
    estimate = budgets.estimate(node.path, cluster.pk, needs, worst)
    rank = chosen.rank if chosen else 0
    verdict, sentence = _judge(cluster, [*node.path, there.pk], needs, estimate.short, rank)
    return Forecast(verdict, sentence, estimate.rate_micros_per_hour, estimate.worst_micros)


def _judge(
    cluster: Cluster, node_ids: list[int], needs: Mapping[str, int], short: budgets.Short | None, rank: int
) -> tuple[str, str]:
    if short is not None and short.is_final:
        return "never", f"{short.message[:1].upper()}{short.message[1:]}."
    if not cluster.is_open:
        return "waits", f"It would wait: the cluster {cluster} takes no new work."
    if (full := quotas.look(node_ids, needs).full(node_ids, needs)) is not None:
        return "waits", f"It would wait: {full.message.removeprefix('waiting: ')}."
    if short is not None:
        return "waits", f"It would wait: {short.message}."
    # SECURITY: whether others wait is not told; that he waits himself is no news to him.
    if Workload.objects.queue().filter(cluster=cluster, quota_node_id=node_ids[-2], rank__gte=rank).exists():
        return "waits", f"There is room on {cluster}, but what you queued before goes first."
    return "fits", f"It fits now and would start on {cluster} at once."


def _team(slug: str | None, by: Any) -> Team | None:
    if slug is None:
        return None
    found: Team | None = Team.objects.visible_to(by, "submit").select_related("organization").filter(slug=slug).first()
    return found
