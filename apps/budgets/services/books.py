"""What a batch reads under its locks, what it posts, and the one statement that writes it all."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from django.db import connection
from django.utils import timezone

from apps.budgets import statements
from apps.budgets.choices import Account, BudgetPolicy, Cadence, TxKind, bounds
from apps.core import failpoints
from apps.core.ids import new_id
from apps.quotas.choices import NodeKind

_SHARED = frozenset({NodeKind.PLATFORM.value, NodeKind.ORGANIZATION.value})


@dataclass(frozen=True, slots=True)
class Plan:
    """A live budget on somebody's path."""

    id: int
    node_id: int
    cadence: str
    policy: str
    amount: int


@dataclass(slots=True)
class Locked:
    """A period under our lock; the numbers move with what is posted."""

    id: int
    budget_id: int
    node_id: int
    kind: str
    name: str
    policy: str
    starts_at: datetime
    ends_at: datetime
    amount: int
    held: int
    spent: int
    lapsed: int
    is_over: bool
    is_ended: bool  # somebody has ended the budget: it limits nothing any more
    is_changed: bool = False

    @property
    def reserves(self) -> bool:
        return self.policy == BudgetPolicy.RESERVE and not self.is_ended

    @property
    def available(self) -> int:
        return max(0, self.amount - self.held - self.spent - self.lapsed)

    @property
    def is_shared(self) -> bool:
        """Whether its numbers are the sum over tenants."""
        return self.kind in _SHARED

    @property
    def is_spent(self) -> bool:
        """Whether a budget that accrues lets nothing run any more."""
        return self.policy == BudgetPolicy.ACCRUE and self.spent >= self.amount and not self.is_ended

    @property
    def whose(self) -> str:
        return "the platform" if self.kind == NodeKind.PLATFORM else f"{self.kind} {self.name}"

    def move(self, *, held: int = 0, spent: int = 0, lapsed: int = 0) -> None:
        self.held += held
        self.spent += spent
        self.lapsed += lapsed
        self.is_changed = True


@dataclass(frozen=True, slots=True)
class Line:
    """One entry to be."""

    account: Account
    amount: int
    period_id: int | None = None
    node_id: int | None = None
    cluster_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """What one look tells: prices in force (cluster, resource) -> (micros per hour, id), and the budgets on the paths."""

    now: datetime
    prices: dict[tuple[str, str], tuple[int, int]]
    plans: list[Plan]


@dataclass
class Postings:
    """What one transaction is about to write."""

    made: list[dict[str, Any]] = field(default_factory=list)
    moved: list[dict[str, Any]] = field(default_factory=list)
    parts: list[dict[str, Any]] = field(default_factory=list)
    _postings: list[dict[str, Any]] = field(default_factory=list)
    _entries: list[dict[str, Any]] = field(default_factory=list)

    def post(
        self,
        kind: TxKind,
        idem: str,
        lines: Iterable[Line],
        *,
        hold: UUID | None = None,
        billable_ms: int = 0,
        reverses: UUID | None = None,
        by: str = "system",
        reason: str = "",
    ) -> UUID | None:
        """Add one posting, of the lines that are not zero; nothing for none."""
        kept = [line for line in lines if line.amount]
        if not kept:
            return None
        pk = new_id()
        self._postings.append(
            {
                "id": pk, "kind": kind, "idem": idem, "hold_id": hold, "billable_ms": billable_ms, "reverses_id": reverses,
                "by": by[:150], "reason": reason[:500],
            }
        )  # fmt: skip
        self._entries += [
            {
                "tx_id": pk, "account": line.account, "amount_micros": line.amount, "period_id": line.period_id,
                "node_id": line.node_id, "cluster_id": line.cluster_id,
            }
            for line in kept
        ]  # fmt: skip
        return pk

    def write(self, periods: Iterable[Locked]) -> None:
        """Write everything in one statement."""
        changed = [
            {"id": p.id, "held_micros": p.held, "spent_micros": p.spent, "lapsed_micros": p.lapsed}
            for p in periods
            if p.is_changed
        ]
        if not (self.made or self.moved or self.parts or self._postings or changed):
            return
        given = {
            "made": self.made, "moved": self.moved, "parts": self.parts, "periods": changed, "postings": self._postings,
            "entries": self._entries,
        }  # fmt: skip
        with connection.cursor() as cursor:
            cursor.execute(statements.WRITE, {name: orjson.dumps(rows).decode() for name, rows in given.items()})
        failpoints.hit("ledger.before_commit")


def look(nodes: Collection[int], clusters: Collection[UUID]) -> Known:
    """Read prices and budgets in one cheap query, without a lock."""
    with connection.cursor() as cursor:
        cursor.execute(statements.LOOK, {"nodes": list(nodes), "clusters": list(clusters)})
        row = cursor.fetchone()
    now, prices, plans = row or (timezone.now(), None, None)
    return Known(
        now,
        {(cluster, resource): (micros, pk) for cluster, resource, micros, pk in _rows(prices)},
        [Plan(*row) for row in _rows(plans)],
    )


def _rows(found: Any) -> list[Any]:
    return orjson.loads(found) if isinstance(found, (str, bytes)) else found or []


def lock(*, periods: Collection[int] = (), plans: Sequence[Plan] = (), now: datetime | None = None) -> list[Locked]:
    """Lock the named periods and those in force of `plans`, by id; open what a new month has not been opened for yet."""
    found = _select(statements.LOCK, periods, plans, now)
    if now is not None and open_missing(plans, found, now):
        # The new rows are ours already; everything older was locked before them, so this waits for nobody.
        found = _select(statements.LOCK, periods, plans, now)
    return found


def peek(plans: Sequence[Plan], now: datetime) -> list[Locked]:
    """Read the periods in force without locking them: for estimates."""
    return _select(statements.PEEK, (), plans, now)


def _select(statement: str, periods: Collection[int], plans: Sequence[Plan], now: datetime | None) -> list[Locked]:
    given = {"periods": list(periods), "budgets": [plan.id for plan in plans], "now": now}
    with connection.cursor() as cursor:
        cursor.execute(statement, given)
        return [Locked(*row) for row in cursor.fetchall()]


def open_missing(plans: Sequence[Plan], found: Sequence[Locked], now: datetime) -> int:
    """Begin the period around `now` of each plan that has none in force among `found`: a posting, not a reset.

    Returns how many were missing: somebody else may have begun them meanwhile, and then they are there as well.
    """
    there = {period.budget_id for period in found if not period.is_over}
    missing = [plan for plan in plans if plan.id not in there and plan.cadence != Cadence.FIXED]
    if not missing:
        return 0
    here = now.astimezone(timezone.get_default_timezone())
    rows = [_period(plan.id, *bounds(plan.cadence, here), plan.amount, plan.policy) for plan in missing]
    open_periods(rows)
    return len(rows)


def open_fixed(budget_id: int, starts_at: datetime, ends_at: datetime, amount: int, policy: str) -> None:
    open_periods([_period(budget_id, starts_at, ends_at, amount, policy)])


def _period(budget_id: int, starts_at: datetime, ends_at: datetime, amount: int, policy: str) -> dict[str, Any]:
    ceiling = amount if policy == BudgetPolicy.RESERVE else None
    return {
        "budget_id": budget_id, "starts_at": starts_at, "ends_at": ends_at, "amount_micros": amount, "ceiling_micros": ceiling,
    }  # fmt: skip


def open_periods(rows: list[dict[str, Any]]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statements.OPEN, {"periods": orjson.dumps(rows).decode()})
        opened = cursor.fetchall()
    postings = Postings()
    for pk, amount in opened:
        postings.post(TxKind.ALLOT, f"allot:{pk}", allotted(pk, amount))
    postings.write([])


def allotted(period_id: int, amount: int) -> list[Line]:
    return [Line(Account.AVAILABLE, amount, period_id), Line(Account.FUNDING, -amount, period_id)]


def drift() -> list[str]:
    """Compare every counter that may still change with the sum of its entries, and what is held with its holds.

    Empty when all is well: a line is a bug, or somebody's hand in the tables.
    """
    with connection.cursor() as cursor:
        cursor.execute(statements.DRIFT)
        return [
            f"period {pk}: amount {amount}/{posted}, held {held}/{in_ledger}/{in_holds}, spent {spent}/{charged}, lapsed {lapsed}/{gone}"
            for pk, amount, posted, held, in_ledger, in_holds, spent, charged, lapsed, gone in cursor.fetchall()
        ]
