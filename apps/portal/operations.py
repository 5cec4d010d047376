"""What an operator needs to know first: the numbers of the admin's front page. A fixed number of queries, however much
there is.

An app adds its own number by declaring a `Question` with a `tile` beside its admin page (`apps.access.admin.questions`):
`questions` finds it, nothing here needs to know.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, Max, Min
from django.utils import timezone

from apps.access.admin import questions as asked
from apps.access.admin.display import list_url
from apps.accounts.choices import GUESSES
from apps.accounts.models import LoginFailure
from apps.audit.models import DONE, AuditEvent
from apps.compute.choices import ACTIVE, ClusterState, State
from apps.compute.models import Cluster, Loop, Workload
from apps.quotas.models import QuotaLimit
from apps.quotas.querysets import under_pressure

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
class Line:
    """A number of a panel, and the list that shows exactly those rows."""

    what: str
    detail: str
    count: int
    url: str
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Overview:
    """The state of the platform at one glance."""

    questions: list[asked.Asked]
    waiting: list[Line]
    changes: list[Line]
    operators: list[AuditEvent]
    guesses: list[Line]

    counts: dict[str, int]
    oldest_queued_at: datetime | None
    clusters: list[ClusterNow]
    pressure: list[QuotaLimit]
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
    reads = bool(getattr(by, "is_staff", False))
    return Overview(
        questions=questions(by),
        waiting=_waiting(workloads),
        changes=_changes() if reads else [],
        operators=list(_done_today().filter(origin="admin").order_by("-at")[:_ROWS]) if reads else [],
        guesses=_guesses() if reads else [],
        counts={state: sum(number for has, _, number in active if has == state) for state in ACTIVE},
        oldest_queued_at=workloads.queue().aggregate(oldest=Min("queued_at"))["oldest"],
        clusters=_clusters(by, active),
        pressure=sorted(pressed, key=_share, reverse=True)[:_ROWS],
        loops=[_loop_run(loop) for loop in Loop.objects.order_by("name")],
        failures=list(ended_badly.select_related("user", "team", "cluster").order_by("-state_changed_at")[:_ROWS]),
    )


def questions(by: Any) -> list[asked.Asked]:
    """Answer every app's questions of the front page: what is bad first, and then in the order of the apps."""
    return asked.answers(by)


def _waiting(workloads: Any) -> list[Line]:
    """Tell who waits, the most waiting first."""
    queued = workloads.filter(state=State.QUEUED).order_by()
    rows = queued.values("user", "user__username", "team", "team__name")
    return [
        Line(
            row["user__username"],
            row["team__name"] or "",
            row["count"],
            list_url("compute.workload", state__exact=State.QUEUED.value, user__id__exact=row["user"], **_team(row)),
            row["oldest"],
        )
        for row in rows.annotate(count=Count("pk"), oldest=Min("queued_at")).order_by("-count", "oldest")[:_ROWS]
    ]


def _team(row: dict[str, Any]) -> dict[str, Any]:
    return {"team__isnull": 1} if row["team"] is None else {"team__id__exact": row["team"]}


def _done_today() -> Any:
    midnight = timezone.localtime().replace(hour=0, minute=0, second=0, microsecond=0)
    return AuditEvent.objects.filter(DONE, at__gte=midnight)


def _changes() -> list[Line]:
    """Tell what changed today, kind by kind, the latest first."""
    rows = _done_today().order_by().values("action", "object_type").annotate(count=Count("*"), last=Max("at"))
    return [
        Line(
            row["action"].replace("_", " "),
            row["object_type"].rpartition(".")[2],
            row["count"],
            list_url("audit.auditevent", question="changes", action=row["action"], object_type=row["object_type"]),
            row["last"],
        )
        for row in rows.order_by("-last")[:_ROWS]
    ]


def _guesses() -> list[Line]:
    """Tell which names were tried often within the hour, and from where."""
    recent = LoginFailure.objects.filter(at__gt=timezone.now() - _HOUR).order_by()
    found = []
    for field, words in (("username", "name"), ("ip", "address")):
        rows = recent.values(field).annotate(count=Count("pk"), last=Max("at")).filter(count__gte=GUESSES)
        found += [
            Line(
                row[field] or "-",
                words,
                row["count"],
                list_url("accounts.loginfailure", question="hour", **{field: row[field]}),
                row["last"],
            )
            for row in rows.exclude(**{field: None}).order_by("-count")[:_ROWS]
        ]
    return found


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
