"""How many rows a list has: exactly where somebody can still look through them, and otherwise that there are many.

Counting all of a large table costs more than the page that it stands on, and grows with it for ever.
"""

from functools import cached_property
from typing import Any

from django.core.paginator import Paginator
from django.db.models import QuerySet

MOST = 10_000


def count_of(rows: QuerySet[Any]) -> int:
    """Count `rows`, at most one more than `MOST`."""
    return rows.order_by()[: MOST + 1].count()


def said(count: int) -> str:
    """Write what was counted: "10,000+" where there are more."""
    return f"{MOST:,}+" if count > MOST else str(count)


class BoundedPaginator(Paginator):  # type: ignore[type-arg]  # generic for type checkers only
    """Pages through the first `MOST` rows; what lies behind them is reached by filters, search and order."""

    @cached_property
    def counted(self) -> int:
        rows: Any = self.object_list
        return count_of(rows)

    @cached_property
    def count(self) -> int:
        return min(self.counted, MOST)

    @property
    def is_bounded(self) -> bool:
        return self.counted > MOST

    @property
    def said(self) -> str:
        return said(self.counted)
