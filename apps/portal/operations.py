"""What an operator needs to know first: the numbers of the admin's front page. Eleven queries, however much there is."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, Min
from django.utils import timezone

from apps.accounts.models import LoginFailure, Registration
from apps.compute.choices import ACTIVE, ClusterState, State
from apps.compute.models import Cluster, Loop, Workload
from apps.quotas.models import QuotaLimit
from apps.quotas.querysets import under_pressure

STUCK_AFTER = timedelta(minutes=15)
_DAY = timedelta(days=1)
_HOUR = timedelta(hours=1)
_LATE = timedelta(seconds=60)  # a loop renews its lease with every run; this long after its end, nobody runs it
_ROWS = 10


@dataclass(frozen=True, slots=True)
class LoopRun:
    """One periodic loop: when it last got through, and whether it is late."""

    name: str
    ran_at: datetime | None
    owner: str
    note: str
    is_late: bool


@dataclass(frozen=True, slots=True)
class ClusterNow:
    """One cluster, and how many workloads wait for it or run there."""

    cluster: Cluster
    active: int
    is_well: bool


@dataclass(frozen=True, slots=True)
class Overview:
    """The state of the platform at one glance."""

    counts: dict[str, int]
    oldest_queued_at: datetime | None
    stuck: int
    ended_badly: int
    login_failures: int
    registrations: int
    clusters: list[ClusterNow]
    pressure: list[QuotaLimit]
    pressed_nodes: int
    loops: list[LoopRun]
    failures: list[Workload]

    @property
    def queued(self) -> int:
        return self.counts[State.QUEUED]

    @property
    def active(self) -> list[tuple[str, int]]:
        """States that hold resources, in the order of life, with their numbers."""
        return [(state, self.counts[state]) for state in (State.STARTING, State.RUNNING, State.STOPPING)]

    @property
    def troubled_clusters(self) -> list[Cluster]:
        return [now.cluster for now in self.clusters if not now.is_well]

    @property
    def is_unattended(self) -> bool:
        """Whether no worker runs the loops."""
        return not self.loops or all(loop.is_late for loop in self.loops)


def overview(by: Any) -> Overview:
    """Collect the front page's numbers, of what `by` may see."""
    workloads = Workload.objects.visible_to(by, "view")
    active = list(workloads.active().order_by().values_list("state", "cluster").annotate(number=Count("pk")))
    pressed = under_pressure(QuotaLimit.objects.visible_to(by, "view")).select_related("node")
    ended_badly = workloads.ended_badly(_DAY)
    return Overview(
        counts={state: sum(number for has, _, number in active if has == state) for state in ACTIVE},
        oldest_queued_at=workloads.queue().aggregate(oldest=Min("queued_at"))["oldest"],
        stuck=workloads.stuck(STUCK_AFTER).count(),
        ended_badly=ended_badly.count(),
        login_failures=LoginFailure.objects.filter(at__gt=timezone.now() - _HOUR).count(),
        registrations=Registration.objects.visible_to(by, "view").waiting().count(),
        clusters=_clusters(by, active),
        pressure=sorted(pressed, key=_share, reverse=True)[:_ROWS],
        pressed_nodes=pressed.values("node").distinct().count(),
        loops=[_loop_run(loop) for loop in Loop.objects.order_by("name")],
        failures=list(ended_badly.select_related("user", "team", "cluster").order_by("-state_changed_at")[:_ROWS]),
    )


def _clusters(by: Any, active: Iterable[tuple[str, Any, int]]) -> list[ClusterNow]:
    """List clusters, those in trouble first."""
    numbers: Counter[Any] = Counter()
    for _, pk, number in active:
        numbers[pk] += number
    rows = [
        ClusterNow(row, numbers[row.pk], _is_well(row))
        for row in Cluster.objects.visible_to(by, "view").order_by("name")
    ]
    return sorted(rows, key=lambda now: now.is_well)


def _is_well(cluster: Cluster) -> bool:
    return cluster.is_open and cluster.state == ClusterState.OK and cluster.isolates_tenants and not cluster.warnings


def _share(limit: QuotaLimit) -> float:
    return limit.used / (limit.limit or 1)


def _loop_run(loop: Loop) -> LoopRun:
    held_until = loop.lease_until
    is_late = loop.ran_at is None or held_until is None or held_until + _LATE < timezone.now()
    return LoopRun(loop.name, loop.ran_at, loop.owner, loop.note, is_late)
