"""What a person's page says of money: costs of his places, and the budgets that he may see."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connection
from django.db.models import Prefetch
from django.utils import timezone

from apps.budgets import services
from apps.budgets.choices import BudgetPolicy, bounds, in_money, with_currency
from apps.budgets.models import Budget, Period, Price
from apps.budgets.policies import visible_nodes
from apps.budgets.services.asking import day
from apps.quotas.choices import NodeKind
from apps.quotas.models import QuotaNode

_MOST = 20
_FULL, _HIGH = 100, 80
_SUMS = """
    SELECT node_id, coalesce(sum(amount_micros) FILTER (WHERE at >= %(today)s), 0)::bigint, sum(amount_micros)::bigint
      FROM budgets_ledgerentry WHERE account = 'cost' AND node_id = ANY(%(nodes)s) AND at >= %(month)s GROUP BY node_id
"""


@dataclass(frozen=True, slots=True)
class Spent:
    """What one place cost: today, this month, and by the end of the month if it goes on so."""

    name: str
    kind: str
    node_id: int
    today: str
    month: str
    forecast: str


@dataclass(frozen=True, slots=True)
class Shown:
    """One budget as a bar."""

    pk: int
    name: str
    cadence: str
    policy: str
    used: str
    limit: str
    held: str
    until: str
    percent: int
    forecast: str
    label: str = "spent"

    @property
    def level(self) -> str:
        return "full" if self.percent >= _FULL else "high" if self.percent >= _HIGH else ""


def is_in_use() -> bool:
    """Whether this installation knows money at all: without prices there is nothing to show."""
    return Price.objects.exists() or Budget.objects.exists()


def spent_by(user: Any) -> list[Spent]:
    """Return the costs of the person's own places and his teams."""
    mine = [
        node for node in QuotaNode.objects.filter(visible_nodes(user)).order_by("depth", "name") if _is_mine(node, user)
    ]
    sums = _sums([node.pk for node in mine]) if mine else []
    now = _hour()
    return [_spent(node, sums, now) for node in mine[:_MOST]]


def _hour() -> datetime:
    """Return the beginning of this hour: a forecast that changes with each reload is none."""
    return timezone.localtime().replace(minute=0, second=0, microsecond=0)


def _is_mine(node: QuotaNode, user: Any) -> bool:
    return node.kind == NodeKind.TEAM or node.key.rpartition("user:")[2] == str(user.pk)


def _sums(tops: list[int]) -> list[tuple[list[int], int, int]]:
    paths = dict(QuotaNode.objects.filter(path__overlap=tops).values_list("pk", "path"))
    today = timezone.localtime().replace(hour=0, minute=0, second=0, microsecond=0)
    with connection.cursor() as cursor:
        cursor.execute(_SUMS, {"nodes": list(paths), "today": today, "month": today.replace(day=1)})
        return [(paths[pk], today_micros, month_micros) for pk, today_micros, month_micros in cursor.fetchall()]


def _spent(node: QuotaNode, sums: list[tuple[list[int], int, int]], now: datetime) -> Spent:
    below = [(today, month) for path, today, month in sums if node.pk in path]
    today, month = sum(today for today, _ in below), sum(month for _, month in below)
    start, end = bounds("month", now)
    second = timedelta(seconds=1)
    foreseen = month * ((end - start) // second) // max(3600, (now - start) // second)
    return Spent(node.name, node.kind, node.pk, *(with_currency(amount) for amount in (today, month, foreseen)))


def budgets_of(user: Any) -> list[Shown]:
    """Return the live budgets that the person may see, those of his teams first."""
    periods = Prefetch("periods", Period.objects.running())
    rows = Budget.objects.visible_to(user, "view").live().select_related("node").prefetch_related(periods)
    return [
        _shown(budget, period)
        for budget in rows.order_by("node__depth", "pk")[:_MOST]
        for period in budget.periods.all()
    ]


def _shown(budget: Budget, period: Period) -> Shown:
    foreseen = services.forecast(period, _hour())
    return Shown(
        pk=budget.pk,
        name=budget.node.name,
        cadence=str(budget.get_cadence_display()).lower(),
        policy=BudgetPolicy(budget.policy).label.partition(":")[0].lower(),
        used=in_money(period.spent_micros),
        limit=with_currency(period.amount_micros),
        held=in_money(period.held_micros) if period.held_micros else "",
        until=day(period.ends_at),
        percent=min(_FULL, period.percent),
        forecast="" if foreseen is None else in_money(foreseen),
    )
