"""More money is asked for like more of anything else: "money:month" is what a budget gives each month."""

from collections.abc import Collection
from functools import partial
from typing import Any

from django.db.models.functions import Now

from apps.budgets.choices import Cadence
from apps.budgets.models import Budget
from apps.budgets.services.plans import allot
from apps.core.errors import Conflict
from apps.quotas.choices import MONEY
from apps.quotas.models import QuotaNode
from apps.quotas.services import register_other


def register() -> None:
    """Let people ask for more of each kind of budget. Called once, when the apps are ready."""
    for cadence in Cadence:
        name, title = f"{MONEY}:{cadence.value}", f"Budget, {cadence.label.lower()}"
        register_other(name, title, partial(_amounts, cadence=cadence.value), partial(_give, cadence=cadence.value))


def _amounts(nodes: Collection[QuotaNode], *, cadence: str) -> dict[int, int]:
    return {pk: budget.amount_micros for pk, budget in _budgets(nodes, cadence).items()}


def _give(node: QuotaNode, amount_micros: int, *, cadence: str, by: Any, reason: str) -> None:
    found = _budgets([node], cadence).get(node.pk)
    if found is None:
        msg = f"{node} has no such budget any more."
        raise Conflict(msg)
    allot(found, amount_micros, by=by, reason=reason)


def _budgets(nodes: Collection[QuotaNode], cadence: str) -> dict[int, Budget]:
    """Return the budget of each node that is in force; of several between dates the one that began first."""
    rows: Any = Budget.objects.live().filter(node__in=nodes, cadence=cadence)
    if cadence == Cadence.FIXED:
        rows = rows.filter(ends_at__gt=Now())
    return {row.node_id: row for row in rows.order_by("-starts_at", "-pk")}
