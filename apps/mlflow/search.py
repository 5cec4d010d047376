"""Search of runs. Filter and order become one query of the ORM, on top of what the policy lets the caller see."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import inf
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Case, F, FilteredRelation, Q, QuerySet, Value, When
from django.db.models.functions import NullIf

from apps.mlflow import pages, records
from apps.mlflow.calls import Call, wrong
from apps.mlflow.experiments import view_of
from apps.mlflow.filters.grammar import Order
from apps.mlflow.filters.runs import NAN, RunOrder, attribute_to_order_by, read_filter, read_orders
from apps.mlflow.finding import projects_of
from apps.mlflow.routing import answers
from apps.tracking.models import Run

_MOST = 50_000
_USUAL = 1_000
_RELATIONS = {"metric": ("series", "last_value"), "param": ("params", "value"), "tag": ("tags", "value")}
_LAST = (F("started_at").desc(), F("pk").asc())


@answers("POST", "runs/search", judged="run:view")
def search(call: Call) -> dict[str, Any]:
    """Return a page of the runs in some experiments that the caller may see."""
    limit = call.whole("max_results", _USUAL, low=1, high=_MOST)
    offset = pages.offset_of(call)
    if not call.texts("experiment_ids"):
        raise wrong(name="experiment_ids", sentence="Name at least one.")
    projects = projects_of(call)
    condition, order = read_filter(call.text("filter"), projects), read_orders(call.texts("order_by"))
    rows: Any = Run.objects.visible_to(call.user, "view").filter(
        condition, project__in=projects, **view_of(call, "run_view_type")
    )
    with alone():
        found = _ids(rows, order, projects, offset, offset + limit + 1)
    page = {run["info"]["run_id"]: run for run in records.runs_of(Run.objects.filter(pk__in=found[:limit]))}
    answer: dict[str, Any] = {"runs": [page[pk.hex] for pk in found[:limit] if pk.hex in page]}
    if len(found) > limit:
        answer["next_page_token"] = pages.token_of(offset + limit)
    return answer


@contextmanager
def alone() -> Iterator[None]:
    """Let the database use one process: to start others takes longer than to find a page in the order of an index."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL max_parallel_workers_per_gather = 0")
        yield


def _ids(rows: QuerySet[Run], order: RunOrder, projects: Sequence[UUID], start: int, stop: int) -> list[UUID]:
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


def _ordered(rows: QuerySet[Run], orders: Sequence[Order], *first: Any) -> QuerySet[Run]:
    terms: list[Any] = list(first)
    for number, order in enumerate(orders):
        if order.entity == "attribute":
            value = attribute_to_order_by(order.key)
        else:
            relation, column = _RELATIONS[order.entity]
            name = f"order{number}"
            rows = rows.annotate(**{name: FilteredRelation(relation, condition=Q(**{f"{relation}__key": order.key}))})
            value = F(f"{name}__{column}")
            if order.entity == "metric":
                has_nan = Case(
                    When(**{f"{name}__last_value": NAN, "then": Value(1)}),
                    When(**{f"{name}__last_value": None, "then": Value(2)}),
                    default=Value(0),
                )
                terms.append(has_nan.asc())
                value = NullIf(value, Value(NAN))
        terms.append(value.asc(nulls_last=True) if order.ascending else value.desc(nulls_last=True))
    return rows.order_by(*terms, *_LAST)
