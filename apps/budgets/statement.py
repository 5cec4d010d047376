"""A statement of costs that equals the ledger: exact lines, rounded once each, and what the rounding made of the sum."""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any

from django.conf import settings
from django.db import connection

from apps.budgets import costs
from apps.budgets.choices import cents, in_money
from apps.budgets.costs import OTHERS, Scope
from apps.budgets.handlers import names_of

_LINES = """
    SELECT {day}, h.node_id, h.cluster_id, h.subject, sum(e.amount_micros)::bigint, sum(t.billable_ms)::bigint
      FROM budgets_ledgerentry e JOIN budgets_ledgertx t ON t.id = e.tx_id JOIN budgets_hold h ON h.id = t.hold_id
     WHERE e.account = 'cost' AND e.node_id = ANY(%(nodes)s) AND e.at >= %(since)s AND e.at < %(until)s
     GROUP BY 1, 2, 3, 4
"""
_HEADINGS = ("day", "team", "user", "project", "cluster", "run_seconds", "cost_micros", "cost")
# A spreadsheet takes what begins with one of these for a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True, slots=True)
class Item:
    """What one project of one person cost on one cluster on one day."""

    day: date
    team: str
    user: str
    project: str
    cluster: str
    run_ms: int
    cost_micros: int


@dataclass(frozen=True, slots=True)
class Statement:
    """`total_cents` is the exact sum, rounded once; the rounded lines differ from it by `rounding_cents`."""

    scope: Scope
    items: list[Item]

    @property
    def total_micros(self) -> int:
        return sum(item.cost_micros for item in self.items)

    @property
    def total_cents(self) -> int:
        return cents(self.total_micros)

    @property
    def rounding_cents(self) -> int:
        return self.total_cents - sum(cents(item.cost_micros) for item in self.items)


def statement(of: Scope) -> Statement:
    """Put a statement together: one line per day, person, project and cluster, in that order."""
    sql = _LINES.format(day=costs.day_sql("e.at"))
    with connection.cursor() as cursor:
        cursor.execute(sql, of.given)
        rows = cursor.fetchall()
    projects, clusters = names_of(of.by, {row[3] for row in rows}), costs.clusters({row[2] for row in rows})
    found: dict[tuple[date, str, str, str, str], tuple[int, int]] = {}
    for day, node, cluster, subject, cost, ran in rows:
        team, user = (costs.place_of(of, node, word)[1] for word in ("team", "user"))
        key = (day, team, user, projects.get(subject, ("", OTHERS))[1], clusters[cluster][1])
        before = found.get(key, (0, 0))
        found[key] = (before[0] + ran, before[1] + cost)
    return Statement(of, [Item(*key, ran, cost) for key, (ran, cost) in sorted(found.items())])


def as_document(found: Statement) -> dict[str, Any]:
    return {
        "since": found.scope.since,
        "until": found.scope.until,
        "currency": settings.CURRENCY,
        "lines": [
            {
                "day": item.day, "team": item.team, "user": item.user, "project": item.project, "cluster": item.cluster,
                "run_seconds": item.run_ms // 1000, "cost_micros": item.cost_micros, "cost": in_money(item.cost_micros),
            }
            for item in found.items
        ],
        "total_micros": found.total_micros,
        "total": written(found.total_cents),
        "rounding": written(found.rounding_cents),
    }  # fmt: skip


def as_csv(found: Statement) -> Iterator[str]:
    """Write the lines, then what rounding them made of the sum, then the sum: the last column adds up."""
    yield _row(_HEADINGS)
    for item in found.items:
        words = (item.day.isoformat(), *map(_plain, (item.team, item.user, item.project, item.cluster)))
        yield _row((*words, str(item.run_ms // 1000), str(item.cost_micros), written(cents(item.cost_micros))))
    yield _row(("rounding", "", "", "", "", "", "", written(found.rounding_cents)))
    yield _row(("total", "", "", "", "", "", str(found.total_micros), written(found.total_cents)))


def written(amount: int) -> str:
    """Write cents without a separator of thousands."""
    sign, size = ("-", -amount) if amount < 0 else ("", amount)
    return f"{sign}{size // 100}.{size % 100:02d}"


def _plain(word: str) -> str:
    """SECURITY: names are other people's: none of them may be a formula."""
    return f"'{word}" if word.startswith(_FORMULA) else word


def _row(values: tuple[str, ...]) -> str:
    line = io.StringIO()
    csv.writer(line).writerow(values)
    return line.getvalue()
