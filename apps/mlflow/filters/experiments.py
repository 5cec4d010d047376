"""Filter and order of experiments."""

from collections.abc import Sequence
from typing import Any

from django.db.models import Q, QuerySet, TextField
from django.db.models.functions import Cast

from apps.core.errors import Invalid
from apps.tracking.language.conditions import LISTED, NAMED, on_text, on_time, require, unknown
from apps.tracking.language.grammar import Comparison, parse_filter, parse_order
from apps.tracking.models import Project, ProjectTag

_TEXTS: dict[str, Any] = {"name": "name", "experiment_id": Cast("number", TextField())}
_TIMES = {"creation_time": "created_at", "last_update_time": "updated_at"}
_COLUMNS = {"name": "name", "experiment_id": "number", **_TIMES}
_DEFAULT = ("-created_at", "number")


def apply_filter(rows: QuerySet[Project], text: str) -> QuerySet[Project]:
    """Keep the projects of which all comparisons are true. Raises: Invalid."""
    for comparison in parse_filter(text):
        rows = rows.filter(_condition(comparison))
    return rows


def apply_order(rows: QuerySet[Project], texts: Sequence[str]) -> QuerySet[Project]:
    """Order by what is named, else newest first. Raises: Invalid."""
    names = []
    for order in map(parse_order, texts[: len(_COLUMNS) + 1]):
        if order.entity != "attribute" or order.key not in _COLUMNS:
            msg = f"Experiments are ordered by {', '.join(sorted(_COLUMNS))}, not by '{order.key[:100]}'."
            raise Invalid(msg)
        names.append(f"{'' if order.ascending else '-'}{_COLUMNS[order.key]}")
    return rows.order_by(*(names or _DEFAULT), "-number")


def _condition(comparison: Comparison) -> Q:
    if comparison.entity == "tag":
        return _tag(comparison)
    if comparison.entity != "attribute" or comparison.key not in _COLUMNS:
        raise unknown(comparison, _COLUMNS)
    if comparison.key in _TIMES:
        return on_time(_TIMES[comparison.key], comparison)
    require(comparison, LISTED)
    return on_text(_TEXTS[comparison.key], comparison)


def _tag(comparison: Comparison) -> Q:
    require(comparison, NAMED)
    rows = ProjectTag.objects.filter(key=comparison.key)
    if comparison.operator == "IS NULL":
        return ~Q(pk__in=rows.values("project_id"))
    if comparison.operator != "IS NOT NULL":
        rows = rows.filter(on_text("value", comparison))
    return Q(pk__in=rows.values("project_id"))
