"""Filter and order of runs."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from django.db.models import CharField, F, FloatField, Func, Q, TextField, Value
from django.db.models.functions import Cast, Concat

from apps.core.errors import Invalid
from apps.tracking.language.conditions import (
    LISTED,
    NAMED,
    NUMERIC,
    number_of,
    on_number,
    on_text,
    on_time,
    require,
    text_of,
    unknown,
    wrong,
)
from apps.tracking.language.grammar import Comparison, Order, parse_filter, parse_order
from apps.tracking.models import MetricSeries, Param, RunDataset, Tag

NAN = float("nan")
RUN_NAME = "mlflow.runName"
MOST_ORDERS = 20
_HEX = Func(Cast("pk", TextField()), Value("-"), Value(""), function="replace", output_field=TextField())
_TEXTS: dict[str, Any] = {
    "run_name": F("name"),
    "user_id": F("owner__username"),
    "status": Func(F("status"), function="upper", output_field=CharField()),
    "artifact_uri": Concat(
        Value("mlflow-artifacts:/"),
        Cast("project__number", TextField()),
        Value("/"),
        _HEX,
        Value("/artifacts"),
        output_field=TextField(),
    ),
    "run_id": _HEX,
}
_TIMES = {"start_time": "started_at", "end_time": "finished_at"}
# What the portal's table can be ordered by beside; the wire knows nothing of it.
_MORE: dict[str, Any] = {
    "created_at": F("created_at"),
    "duration": F("finished_at") - F("started_at"),
    "team": F("team__name"),
}
_ALIASES = {"created": "start_time", "run name": "run_name"}
_DATASETS = {"name": "name", "digest": "digest", "context": "context"}


@dataclass(frozen=True, slots=True)
class RunOrder:
    """The order of a search. `best` is the metric by which runs are ranked first of all, None when by something else."""

    entries: Sequence[Order]

    @property
    def best(self) -> Order | None:
        first = self.entries[0] if self.entries else None
        return first if first is not None and first.entity == "metric" else None


def read_filter(text: str, projects: Sequence[UUID]) -> Q:
    """Return the condition of a filter on the runs of some projects. Raises: Invalid."""
    condition = Q()
    for comparison in parse_filter(text):
        condition &= _condition(comparison, projects)
    return condition


def read_orders(texts: Sequence[str]) -> RunOrder:
    """Read `order_by`. Raises: Invalid, also for a field that comes twice."""
    if len(texts) > MOST_ORDERS:
        msg = f"At most {MOST_ORDERS} entries of order_by are read."
        raise Invalid(msg)
    orders = [_canonical(parse_order(text)) for text in texts]
    if len({(order.entity, order.key) for order in orders}) < len(orders):
        msg = f"`order_by` contains duplicate fields: {', '.join(texts)[:200]}"
        raise Invalid(msg)
    return RunOrder(orders)


def _canonical(order: Order) -> Order:
    if order.entity == "dataset":
        msg = "Runs are not ordered by datasets."
        raise Invalid(msg)
    if order.entity == "tag" and order.key == RUN_NAME:
        return Order("attribute", "run_name", order.ascending)
    if order.entity != "attribute":
        return order
    key = _ALIASES.get(order.key.lower(), order.key)
    if key not in _TEXTS and key not in _TIMES:
        msg = f"There is no attribute '{key[:100]}' to order by; there are {', '.join(sorted([*_TEXTS, *_TIMES]))}."
        raise Invalid(msg)
    return Order("attribute", key, order.ascending)


def attribute_to_order_by(key: str) -> Any:
    """Return the column or expression of an attribute that `read_orders`, or the table, has let pass."""
    return F(_TIMES[key]) if key in _TIMES else _TEXTS.get(key) or _MORE[key]


def _condition(comparison: Comparison, projects: Sequence[UUID]) -> Q:
    match comparison.entity:
        case "metric":
            return _metric(comparison, projects)
        case "param":
            return _named(Param, comparison)
        case "tag":
            if comparison.key == RUN_NAME:
                return _attribute(replace(comparison, entity="attribute", key="run_name"))
            return _named(Tag, comparison)
        case "dataset":
            return _dataset(comparison)
    return _attribute(comparison)


def _attribute(comparison: Comparison) -> Q:
    key = _ALIASES.get(comparison.key.lower(), comparison.key)
    if key in _TIMES:
        return on_time(_TIMES[key], comparison)
    if key not in _TEXTS:
        raise unknown(comparison, [*_TEXTS, *_TIMES])
    require(comparison, LISTED)
    if key == "run_id" and comparison.operator in {"=", "IN"}:  # by the primary key, which the expression would not use
        values = comparison.value if isinstance(comparison.value, tuple) else (text_of(comparison),)
        return Q(pk__in=[UUID(value) for value in values if is_hex(value)])
    return on_text(_TEXTS[key], comparison)


def is_hex(text: str) -> bool:
    return len(text) == 32 and set(text) <= set("0123456789abcdef")  # noqa: PLR2004 -- the digits of a UUID


def _metric(comparison: Comparison, projects: Sequence[UUID]) -> Q:
    require(comparison, NUMERIC)
    value = Value(number_of(comparison), output_field=FloatField())
    compared = on_number("last_value", value, comparison.operator)
    if comparison.operator in {">", ">="}:  # to PostgreSQL NaN is the greatest number, here it is none
        compared &= ~Q(last_value=NAN)
    series = MetricSeries.objects.filter(compared, project__in=projects, key=comparison.key)
    return Q(pk__in=series.values("run_id"))


def _named(model: type[Param] | type[Tag], comparison: Comparison) -> Q:
    require(comparison, NAMED)
    rows: Any = model._default_manager.filter(key=comparison.key)  # noqa: SLF001 -- two models, one meaning
    if comparison.operator == "IS NULL":
        return ~Q(pk__in=rows.values("run_id"))
    if comparison.operator == "IS NOT NULL":
        return Q(pk__in=rows.values("run_id"))
    if comparison.operator == "=":
        return Q(pk__in=model.objects.saying(comparison.key, text_of(comparison)).values("run_id"))
    return Q(pk__in=rows.filter(on_text("value", comparison)).values("run_id"))


def _dataset(comparison: Comparison) -> Q:
    if comparison.key not in _DATASETS:
        raise unknown(comparison, _DATASETS)
    if comparison.operator not in LISTED:
        raise wrong(comparison, f"Expected one of {', '.join(sorted(LISTED))}.")
    rows = RunDataset.objects.filter(on_text(_DATASETS[comparison.key], comparison))
    return Q(pk__in=rows.values("run_id"))
