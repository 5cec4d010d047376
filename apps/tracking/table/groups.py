"""A run table in groups: how many runs have each value of a param, tag or attribute, and what they measured."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Avg, Count, F, Max, Min, QuerySet, Value
from django.db.models.functions import NullIf

from apps.tracking.language.runs import NAN
from apps.tracking.language.writing import comparison_of
from apps.tracking.models import Project
from apps.tracking.searching import alone, with_value
from apps.tracking.table.asked import Asked
from apps.tracking.table.columns import GROUPED, Column
from apps.tracking.table.lines import runs_asked, usual_columns

_MOST_MEASURED = 8
_COLUMNS = {"status": "status", "owner": "owner__username", "name": "name"}


@dataclass(frozen=True, slots=True)
class Measured:
    """A metric over the runs of a group, by the last value of each; NaN counts as none."""

    mean: float | None
    lowest: float | None
    highest: float | None


@dataclass(frozen=True, slots=True)
class Group:
    """`filter` finds its runs, with what was asked before; None where the language cannot say it."""

    value: str | None
    count: int
    measured: Sequence[Measured]
    filter: str | None


@dataclass(frozen=True, slots=True)
class Grouped:
    """One page of groups, the largest first, or by the metric that the table is sorted by."""

    column: Column
    metrics: Sequence[Column]
    groups: Sequence[Group]
    page: int
    has_more: bool


def read_groups(project: Project, asked: Asked, *, by: Any, page: int = 1) -> Grouped:
    """Return one page of the groups of a table that is asked for in groups. The caller has judged the project."""
    column = asked.group
    if column is None:
        msg = "The table is not asked for in groups."
        raise ValueError(msg)
    columns = asked.columns if asked.columns is not None else usual_columns(project, by=by)
    metrics = list({one.key: Column("metric", one.key) for one in columns if one.is_measured}.values())[:_MOST_MEASURED]
    counted = _counted(runs_asked(project, asked, by=by), column, metrics)
    start = (page - 1) * asked.size
    with alone():
        found = list(counted.order_by(*_order(asked, metrics))[start : start + asked.size + 1])
    groups = [_group(row, asked, column, len(metrics)) for row in found[: asked.size]]
    return Grouped(column, metrics, groups, page, len(found) > asked.size)


def _counted(rows: QuerySet[Any], column: Column, metrics: Sequence[Column]) -> Any:
    value = F(_COLUMNS.get(column.key, "")) if column.is_attribute else None
    if value is None:
        rows, value = with_value(rows, "grouped", column.kind, column.key)
    measured: dict[str, Any] = {"group_count": Count("pk")}
    for number, metric in enumerate(metrics):
        rows, last = with_value(rows, f"metric{number}", "metric", metric.key)
        for word, aggregate in (("mean", Avg), ("lowest", Min), ("highest", Max)):
            measured[f"{word}{number}"] = aggregate(NullIf(last, Value(NAN)))
    return rows.order_by().values(group_value=value).annotate(**measured)


def _order(asked: Asked, metrics: Sequence[Column]) -> list[Any]:
    by_value = F("group_value").asc(nulls_last=True)
    if asked.sort is not None:
        if asked.sort == asked.group:
            return [F("group_value").desc(nulls_last=True) if asked.descending else by_value]
        for number, metric in enumerate(metrics):
            if asked.sort.is_measured and metric.key == asked.sort.key:  # the group with the best run first
                best = F(f"highest{number}").desc(nulls_last=True)
                return [best if asked.descending else F(f"lowest{number}").asc(nulls_last=True), by_value]
    return [F("group_count").desc(), by_value]


def _group(row: Any, asked: Asked, column: Column, metrics: int) -> Group:
    value = row["group_value"]
    measured = [Measured(row[f"mean{n}"], row[f"lowest{n}"], row[f"highest{n}"]) for n in range(metrics)]
    said = value.upper() if column == Column("attribute", "status") else value
    key = GROUPED[column.key] if column.is_attribute else column.key
    condition = comparison_of(column.kind, key, said)
    joined = None if condition is None else " AND ".join(filter(None, [asked.filter, condition]))
    return Group(value, row["group_count"], measured, joined)
