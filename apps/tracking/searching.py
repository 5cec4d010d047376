"""The order of a search of runs: one query of the ORM, on top of what the policy lets the caller see."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import inf
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Case, F, FilteredRelation, FloatField, Q, QuerySet, Value, When
from django.db.models.functions import Cast, NullIf

from apps.tracking.language.grammar import Order
from apps.tracking.language.runs import NAN, RunOrder, attribute_to_order_by
from apps.tracking.models import Run

# Per kind of order: where its value is. "number" is a param as people mean it: 9 before 10, and words behind.
RELATIONS = {
    "metric": ("series", "last_value"),
    "min": ("series", "min_value"),
    "max": ("series", "max_value"),
    "param": ("params", "value"),
    "number": ("params", "value"),
    "tag": ("tags", "value"),
}
MEASURED = frozenset({"metric", "min", "max"})
_LAST = (F("started_at").desc(), F("pk").asc())
# So long that a float can hold each of them; [0-9], because \d would be the digits of every script, which no cast reads.
_NUMBER = r"^ *[-+]?([0-9]{1,200}(\.[0-9]{0,99})?|\.[0-9]{1,99})([eE][-+]?[0-9]{1,2})? *$"


@contextmanager
def alone() -> Iterator[None]:
    """Let the database use one process: to start others takes longer than to find a page in the order of an index."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL max_parallel_workers_per_gather = 0")
        yield


def ordered_ids(rows: QuerySet[Run], order: RunOrder, projects: Sequence[UUID], start: int, stop: int) -> list[UUID]:
    """Return the ids from one place of the order to another.

    Where a metric comes first, the runs that have a number there are read in the order of an index; only where these
    are too few does a second query ask for the runs that have none, or NaN, which come last both ways.
    """
    best = order.best
    if best is None:
        return list(_ordered(rows, order.entries).values_list("pk", flat=True)[start:stop])
    is_it = Q(series__key=best.key, series__project__in=projects)
    ranked = rows.annotate(best=FilteredRelation("series", condition=is_it))
    has_number = ranked.filter(best__last_value__lte=inf)  # to PostgreSQL NaN is greater
    first = F("best__last_value")
    ordered = _ordered(has_number, order.entries[1:], first.asc() if best.ascending else first.desc())
    found = list(ordered.values_list("pk", flat=True)[start:stop])
    if len(found) == stop - start:
        return found
    before = start if found else has_number.count()
    others = ranked.filter(Q(best__last_value__isnull=True) | Q(best__last_value=NAN))
    has_none = Case(When(best__last_value=NAN, then=Value(0)), default=Value(1))
    rest = _ordered(others, order.entries[1:], has_none.asc())
    start, stop = (0, stop - start - len(found)) if found else (start - before, stop - before)
    return [*found, *rest.values_list("pk", flat=True)[start:stop]]


def with_value(rows: QuerySet[Any], name: str, entity: str, key: str) -> tuple[QuerySet[Any], F]:
    """Join the param, tag or metric of that key under `name`; return the rows and the value of each, null without."""
    relation, column = RELATIONS[entity]
    joined = FilteredRelation(relation, condition=Q(**{f"{relation}__key": key}))
    return rows.annotate(**{name: joined}), F(f"{name}__{column}")


def _ordered(rows: QuerySet[Run], orders: Sequence[Order], *first: Any) -> QuerySet[Run]:
    terms: list[Any] = list(first)
    for number, order in enumerate(orders):
        value: Any
        if order.entity == "attribute":
            value = attribute_to_order_by(order.key)
        else:
            name = f"order{number}"
            rows, value = with_value(rows, name, order.entity, order.key)
            if order.entity in MEASURED:
                terms.append(_has_nan(name, RELATIONS[order.entity][1]).asc())
                value = NullIf(value, Value(NAN))
            elif order.entity == "number":
                terms.append(_directed(_as_number(name), order))
        terms.append(_directed(value, order))
    return rows.order_by(*terms, *_LAST)


def _directed(value: Any, order: Order) -> Any:
    return value.asc(nulls_last=True) if order.ascending else value.desc(nulls_last=True)


def _has_nan(name: str, column: str) -> Case:
    return Case(
        When(**{f"{name}__{column}": NAN, "then": Value(1)}),
        When(**{f"{name}__{column}": None, "then": Value(2)}),
        default=Value(0),
    )


def _as_number(name: str) -> Case:
    """Return a text as a number, null where it is none."""
    return Case(When(**{f"{name}__value__regex": _NUMBER, "then": Cast(f"{name}__value", FloatField())}))
