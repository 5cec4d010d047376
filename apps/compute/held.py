"""Work that waits for its code and its environment before it waits for anything else: it holds no quota meanwhile.

It is queued and due at no time, so that admission does not see it. Whoever ends a fetch or a build lets it go; a loop does
too. It waits for its code first: its reason says which of the two it waits for.
"""

from collections.abc import Mapping
from typing import Any

from django.db.models import F, QuerySet
from django.db.models.functions import Greatest, Now

from apps.compute import handlers, registry
from apps.compute.choices import DesiredState, State
from apps.compute.contract import Capability
from apps.compute.handlers import Prepared
from apps.compute.lifecycle import transition
from apps.compute.models import Cluster, Workload
from apps.core import wakeup
from apps.core.errors import Invalid, Stale

WAITING, FAILED = "EnvironmentBuilding", "EnvironmentFailed"
FETCHING, UNFETCHED = "CodeFetching", "CodeFailed"
_MOST_FAILED = 500  # in one turn; the next goes on


def hold(template: Mapping[str, Any], cluster: Cluster) -> dict[str, Any]:
    """Return what keeps queued work from being admitted until what it needs is there; nothing when it is, or needs none.

    Raises: Invalid when the cluster cannot have environments.
    """
    waits: dict[str, Any] = {}
    if wanted := template.get("environment"):
        require_environments(cluster)
        waits = _waits(handlers.environments().prepare(wanted, cluster, anew=True), WAITING)
    if source := template.get("source"):
        waits = _waits(handlers.sources().prepare(source, anew=True), FETCHING) or waits
    return waits


def _waits(found: Prepared, reason: str) -> dict[str, Any]:
    return {} if found.key else {"next_reconcile_at": None, "reason": reason, "message": found.said}


def require_environments(cluster: Cluster) -> None:
    """Let pass a cluster that builds environments. Raises: Invalid."""
    if Capability.ENVIRONMENTS not in registry.backend_class(cluster.kind).capabilities:
        raise Invalid(errors={"environment": [f"The cluster {cluster} runs no environments."]})


def settle() -> str:
    """Look at all that waits here: let go what has what it needs, end what cannot have it, tell the others why they wait."""
    sources = held().filter(reason=FETCHING)
    fetches = sources.order_by().values_list("template__source__fetch", flat=True).distinct()
    done = sum(_settle_source(sources.filter(template__source__fetch=one)) for one in fetches)
    rows = held().exclude(reason=FETCHING)
    places = rows.order_by().values_list("cluster", "template__environment__version").distinct()
    done += sum(_settle(rows.filter(cluster=cluster, template__environment__version=one)) for cluster, one in places)
    if done:
        wakeup.poke("compute")
    return f"settled {done}" if done else ""


def held() -> QuerySet[Workload]:
    """Return what waits for its code or its environment and is not being stopped."""
    rows: QuerySet[Workload] = Workload.objects.filter(
        state=State.QUEUED, next_reconcile_at=None, desired_state=DesiredState.RUN
    )
    return rows


def _settle_source(rows: QuerySet[Workload]) -> int:
    """Settle what waits for one fetch; what then waits for an environment is looked at right after."""
    first = rows.first()
    if first is None:
        return 0
    found = handlers.sources().prepare(first.template["source"])
    if found.has_failed:
        return sum(_fail(workload, UNFETCHED, found.said) for workload in rows[:_MOST_FAILED])
    if not found.key:
        rows.exclude(message=found.said).update(message=found.said)
        return 0
    done = rows.filter(template__environment={}).update(next_reconcile_at=Now(), reason="", message="")
    return done + rows.update(reason=WAITING)


def _settle(rows: QuerySet[Workload]) -> int:
    """Settle what waits for one version on one cluster. Returns how much of it does not wait any more."""
    first = rows.select_related("cluster").first()
    if first is None:
        return 0
    found = handlers.environments().prepare(first.template["environment"], first.cluster)
    if found.key:
        return rows.update(next_reconcile_at=Now(), reason="", message="")
    if not found.has_failed:
        rows.exclude(message=found.said).update(reason=WAITING, message=found.said)
        return 0
    return sum(_fail(workload, FAILED, found.said) for workload in rows[:_MOST_FAILED])


def _fail(workload: Workload, reason: str, said: str) -> bool:
    ended = Greatest(Now(), F("started_at"))  # of an earlier attempt, if there was one
    try:
        transition(workload, State.FAILED, actor="reconcile", reason=reason, message=said, finished_at=ended)
    except Stale:
        return False  # it was stopped meanwhile
    return True
