"""Who spent how much on what: read from the ledger, for those who may see it.

One sees what one's own places and one's teams cost. Who in a team spent it is told to its maintainers, and the project to
those who see its runs: the rest is added up as "others".
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any

from django.db import connection
from django.db.models import Q
from django.utils import timezone

from apps.access import policy
from apps.budgets.choices import HOUR_MS
from apps.budgets.handlers import names_of
from apps.budgets.models import LedgerEntry, Price
from apps.budgets.policies import visible_nodes
from apps.core.errors import Invalid, NotFound
from apps.quotas.choices import NodeKind
from apps.quotas.models import QuotaNode

GROUPS = ("organization", "team", "user", "project", "cluster", "day")
LONGEST = timedelta(days=3700)
OTHERS = "others"

_COLUMNS = {"node": "h.node_id", "cluster": "h.cluster_id", "subject": "h.subject"}
_COSTS = """
    SELECT {columns}, sum(e.amount_micros)::bigint, sum(t.billable_ms)::bigint,
           sum(t.billable_ms::numeric * coalesce((h.amounts ->> 'cpu')::bigint, 0))::numeric,
           sum(t.billable_ms::numeric * coalesce((h.amounts ->> 'gpu')::bigint, 0))::numeric
      FROM budgets_ledgerentry e JOIN budgets_ledgertx t ON t.id = e.tx_id JOIN budgets_hold h ON h.id = t.hold_id
     WHERE e.account = 'cost' AND e.node_id = ANY(%(nodes)s) AND e.at >= %(since)s AND e.at < %(until)s
     GROUP BY {columns}
"""
# From admission to release, by the platform's clock, against the time that the backend says it ran. Of what has ended:
# before that nobody knows.
_HELD = """
    SELECT {columns}, sum(extract(epoch FROM h.closed_at - h.made_at) * 1000)::bigint,
           sum(least(h.billable_ms, extract(epoch FROM h.closed_at - h.made_at) * 1000))::bigint,
           (sum(h.billable_ms::numeric * (h.amounts ->> 'cpu')::bigint / 1000) FILTER (WHERE h.cpu_ms IS NOT NULL))::bigint,
           (sum(h.cpu_ms) FILTER (WHERE h.amounts ? 'cpu'))::bigint
      FROM budgets_hold h
     WHERE h.node_id = ANY(%(nodes)s) AND h.made_at >= %(since)s AND h.made_at < %(until)s AND h.closed_at IS NOT NULL
     GROUP BY {columns}
"""


@dataclass(frozen=True, slots=True)
class Line:
    """One row of a showback. Times are of what ran; `reserved_ms` from admission to release."""

    key: str
    label: str
    cost_micros: int = 0
    run_ms: int = 0
    cpu_ms: int = 0  # one CPU for a millisecond
    gpu_ms: int = 0
    reserved_ms: int = 0
    used_ms: int = 0  # of the reserved time
    measured_cpu_ms: int = 0  # one CPU for a millisecond, of what ran and was measured
    used_cpu_ms: int = 0  # what was used of it

    @property
    def idle_percent(self) -> int | None:
        """Say how much of the reserved time nothing ran; None when nothing was reserved."""
        return (self.reserved_ms - self.used_ms) * 100 // self.reserved_ms if self.reserved_ms else None

    @property
    def idle_cpu_percent(self) -> int | None:
        """Say how much of the CPUs it held lay idle while it ran; None when nobody measured."""
        if not self.measured_cpu_ms:
            return None
        return max(0, (self.measured_cpu_ms - self.used_cpu_ms) * 100 // self.measured_cpu_ms)

    @property
    def cpu_hours(self) -> float:
        return round(self.cpu_ms / HOUR_MS, 3)

    @property
    def gpu_hours(self) -> float:
        return round(self.gpu_ms / HOUR_MS, 3)

    def plus(self, other: "Line") -> "Line":
        names = (
            "cost_micros", "run_ms", "cpu_ms", "gpu_ms", "reserved_ms", "used_ms", "measured_cpu_ms", "used_cpu_ms",
        )  # fmt: skip
        return replace(self, **{name: getattr(self, name) + getattr(other, name) for name in names})


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose costs are read, by whom, between which times."""

    by: Any
    since: datetime
    until: datetime
    leaves: dict[int, QuotaNode]
    named: frozenset[int]  # of these the person is told

    @property
    def given(self) -> dict[str, Any]:
        return {"nodes": list(self.leaves), "since": self.since, "until": self.until}


def places(by: Any) -> Any:
    """Return the places whose money `by` may see. Raises: InsufficientScope for a token that may not read the ledger."""
    policy.require_active(by)
    policy.require_scope(by, LedgerEntry, "view")
    rows = QuotaNode.objects.exclude(kind=NodeKind.CLUSTER).order_by("path")
    return rows if sees_all(by) else rows.filter(visible_nodes(by))


def sees_all(by: Any) -> bool:
    return bool(getattr(by, "is_system", False) or by.is_superuser or getattr(by, "is_auditor", False))


def scope(by: Any, *, since: datetime, until: datetime, node: int | None = None) -> Scope:
    """Say whose costs are meant: everything `by` may see, or what is at and below `node`. Raises: NotFound, Invalid."""
    if not since < until or until - since > LONGEST:
        raise Invalid(errors={"until": ["Must be later than since, by ten years at most."]})
    seen = {row.pk: row for row in places(by)}
    if node is not None and node not in seen:
        raise NotFound
    tops = list(seen) if node is None else [node]
    below = QuotaNode.objects.filter(Q(path__overlap=tops)).exclude(kind=NodeKind.CLUSTER)
    leaves = {row.pk: row for row in below}
    return Scope(by, since, until, leaves, frozenset(seen))


def costs(of: Scope, group_by: str) -> list[Line]:
    """Return the lines of one grouping, the dearest first (days in their order)."""
    if group_by not in GROUPS:
        raise Invalid(errors={"group_by": [f"One of {', '.join(GROUPS)}."]})
    found: dict[str, Line] = {}
    for name, line in _lines(of, group_by):
        found[name] = found[name].plus(line) if name in found else line
    if group_by == "day":
        return [found[name] for name in sorted(found)]
    return sorted(found.values(), key=lambda line: (-line.cost_micros, line.label))


def total(lines: Iterable[Line]) -> Line:
    whole = Line("", "total")
    for line in lines:
        whole = whole.plus(line)
    return whole


def cost_between(of: Scope) -> int:
    return total(costs(of, "cluster")).cost_micros


def _lines(of: Scope, group_by: str) -> Iterable[tuple[str, Line]]:
    column = {"project": "subject", "cluster": "cluster"}.get(group_by, "node")
    spent = _rows(_COSTS, day_sql("e.at") if group_by == "day" else _COLUMNS[column], of)
    held = _rows(_HELD, day_sql("h.made_at") if group_by == "day" else _COLUMNS[column], of)
    names = _names(of, group_by, {row[0] for row in [*spent, *held]})
    for value, cost, ran, cpu, gpu in spent:
        key, label = names[value]
        yield key, Line(key, label, cost, ran, int(cpu) // 1000, int(gpu) // 1000)
    for value, reserved, used, measured_cpu, used_cpu in held:
        key, label = names[value]
        times = {"reserved_ms": max(0, reserved), "used_ms": max(0, used)}
        yield key, Line(key, label, **times, measured_cpu_ms=measured_cpu or 0, used_cpu_ms=used_cpu or 0)


def day_sql(column: str) -> str:
    return f"({column} AT TIME ZONE '{timezone.get_default_timezone_name()}')::date"


def _rows(statement: str, columns: str, of: Scope) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(statement.format(columns=columns), of.given)
        found: list[Any] = cursor.fetchall()
    return found


def _names(of: Scope, group_by: str, values: set[Any]) -> dict[Any, tuple[str, str]]:
    """Say under which key and name each value of the column is added up."""
    if group_by == "day":
        return {value: (value.isoformat(), value.isoformat()) for value in values}
    if group_by == "cluster":
        return clusters(values)
    if group_by == "project":
        known = names_of(of.by, values)
        return {value: known.get(value, (OTHERS, OTHERS)) for value in values}
    return {value: place_of(of, value, group_by) for value in values}


def clusters(values: Iterable[Any]) -> dict[Any, tuple[str, str]]:
    rows = Price.objects.filter(cluster_id__in=set(values)).order_by("pk").values_list("cluster_id", "cluster_name")
    known = dict(rows)
    return {value: (str(value), known.get(value, str(value))) for value in values}


def place_of(of: Scope, leaf: int, group_by: str) -> tuple[str, str]:
    node = of.leaves[leaf]
    if group_by == "user":
        if leaf in of.named:
            return node.key.rpartition("user:")[2], node.name.partition(" in ")[0]
        return OTHERS, OTHERS
    kind = NodeKind.TEAM if group_by == "team" else NodeKind.ORGANIZATION
    above = next((row for row in _path(of, node) if row.kind == kind), None)
    return (above.key, above.name) if above else ("", "personal")


def _path(of: Scope, node: QuotaNode) -> Sequence[QuotaNode]:
    missing = [pk for pk in node.path if pk not in of.leaves]
    more = {row.pk: row for row in QuotaNode.objects.filter(pk__in=missing)} if missing else {}
    of.leaves.update(more)  # looked up once; nothing is charged to what is above
    return [of.leaves[pk] for pk in node.path]


def day_of(text: str | None, default: date, name: str) -> datetime:
    """Read a date as the beginning of that day. Raises: Invalid."""
    try:
        chosen = date.fromisoformat(text) if text else default
        found = datetime(chosen.year, chosen.month, chosen.day, tzinfo=timezone.get_default_timezone())
    except ValueError as error:
        raise Invalid(errors={name: ["A date, as 2026-11-30."]}) from error
    return found


def between(since: str | None, until: str | None) -> tuple[datetime, datetime]:
    """Read two dates, the second not included; by default this month so far, today included. Raises: Invalid."""
    today = timezone.localdate()
    return day_of(since, today.replace(day=1), "since"), day_of(until, today + timedelta(days=1), "until")
