"""A small tree, a price, budgets; and asks against them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.utils import timezone

from apps.access.principal import SYSTEM
from apps.budgets import services
from apps.budgets.choices import MICROS, Cadence
from apps.budgets.models import Budget, Hold, LedgerEntry, Period
from apps.budgets.services import Ask, Short
from apps.core.ids import new_id
from apps.quotas import services as quotas
from apps.quotas.choices import NodeKind
from apps.quotas.models import QuotaNode

HOUR = 3_600_000
_numbers = count(1)


@dataclass
class Tree:
    """platform > organization > team > two users; one cluster where a CPU costs 1.00 per hour."""

    platform: QuotaNode
    organization: QuotaNode
    team: QuotaNode
    users: list[QuotaNode]
    cluster: UUID = field(default_factory=new_id)

    def price(self, resource: str = "cpu", micros: int = MICROS, **more: Any) -> Any:
        return services.set_price(self.cluster, resource, micros, by=SYSTEM, **more)

    def budget(self, node: QuotaNode, amount: int, policy: str = "reserve", **more: Any) -> Budget:
        given = {"cadence": Cadence.MONTH, **more}
        return services.create_budget(node, policy_name=policy, amount_micros=amount, by=SYSTEM, **given)

    def ask(self, user: int = 0, *, timeout: int | None = 3600, cpu: int = 1000, **more: Any) -> Ask:
        key = more.pop("key", f"fth-test-{next(_numbers)}")
        amounts: Mapping[str, int] = more.pop("amounts", {"cpu": cpu})
        return Ask(key, tuple(self.users[user].path), self.cluster, amounts, timeout, **more)


def make_tree(name: str = "t") -> Tree:
    root = quotas.ensure_node(NodeKind.PLATFORM, "platform", name="platform")
    organization = quotas.ensure_node(NodeKind.ORGANIZATION, f"org:9{name}", name="acme", parent=root)
    team = quotas.ensure_node(NodeKind.TEAM, f"team:9{name}", name="vision", parent=organization)
    users = [
        quotas.ensure_node(NodeKind.USER, f"team:9{name}/user:{no}", name=f"user{no} in vision", parent=team)
        for no in range(2)
    ]
    tree = Tree(root, organization, team, users)
    quotas.ensure_node(NodeKind.CLUSTER, f"cluster:{tree.cluster}", name=f"cluster-{name}", limits={})
    return tree


def hold(*asks: Ask) -> list[Hold | Short]:
    with transaction.atomic():
        return services.hold(asks)


def hold_one(ask: Ask) -> Hold:
    (found,) = hold(ask)
    assert isinstance(found, Hold), found
    return found


def short_of(ask: Ask) -> Short:
    (found,) = hold(ask)
    assert isinstance(found, Short), found
    return found


def period_of(budget: Budget) -> Period:
    """The newest."""
    return Period.objects.filter(budget=budget).order_by("-starts_at")[0]


def numbers(budget: Budget) -> tuple[int, int]:
    """Held and spent, over all periods."""
    rows = Period.objects.filter(budget=budget).values_list("held_micros", "spent_micros")
    return sum(held for held, _ in rows), sum(spent for _, spent in rows)


def cost_of(*nodes: QuotaNode) -> int:
    rows = LedgerEntry.objects.filter(account="cost", node__in=nodes)
    return sum(rows.values_list("amount_micros", flat=True))


def assert_books_balance() -> None:
    """Every posting adds up to zero, every counter to its entries, and nothing exceeds a reserve budget."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("SET CONSTRAINTS ALL DEFERRED")
        cursor.execute(
            "SELECT tx_id, sum(amount_micros) FROM budgets_ledgerentry GROUP BY 1 HAVING sum(amount_micros) <> 0"
        )
        assert cursor.fetchall() == []
    assert services.drift() == []
    for period in Period.objects.filter(budget__policy="reserve"):
        assert period.held_micros + period.spent_micros <= (period.ceiling_micros or 1 << 62)


def age_period(budget: Budget, *, by: timedelta = timedelta(days=62)) -> None:
    """Move the periods of a budget into the past: to the database it is as if that time had passed."""
    for period in Period.objects.filter(budget=budget):
        start, end = period.starts_at - by, period.ends_at - by
        Period.objects.filter(pk=period.pk).update(starts_at=start, ends_at=min(end, timezone.now()))


def now() -> datetime:
    return timezone.now()
