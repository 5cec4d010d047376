"""Filter and order of logged models."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import CharField, F, FloatField, Func, OuterRef, Q, QuerySet, Subquery, TextField, Value
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Cast, Concat, NullIf

from apps.core.errors import Invalid
from apps.core.texts import wrong
from apps.mlflow.calls import Call
from apps.tracking.language.conditions import (
    LISTED,
    NUMERIC,
    TEXT,
    number_of,
    on_number,
    on_text,
    on_time,
    require,
    text_of,
    unknown,
)
from apps.tracking.language.grammar import Comparison, parse_filter
from apps.tracking.language.runs import NAN, is_hex
from apps.tracking.models import LoggedModel, ModelMetric


def _hex(column: str) -> Func:
    return Func(Cast(column, TextField()), Value("-"), Value(""), function="replace", output_field=TextField())


_TEXTS: dict[str, Any] = {
    "name": F("name"),
    "model_id": Concat(Value("m-"), _hex("pk"), output_field=TextField()),
    "model_type": F("model_type"),
    "status": Func(F("status"), function="upper", output_field=CharField()),
    "source_run_id": _hex("run_id"),
}
_TIMES = {
    "creation_timestamp": "created_at",
    "creation_time": "created_at",
    "last_updated_timestamp": "updated_at",
    "last_updated_time": "updated_at",
}
_MOST = 20


@dataclass(frozen=True, slots=True)
class OnDataset:
    """A dataset that metrics were measured on; without a digest any version of it."""

    name: str
    digest: str = ""

    def condition(self) -> Q:
        return Q(dataset_name=self.name, **({"dataset_digest": self.digest} if self.digest else {}))


def apply_filter(rows: QuerySet[LoggedModel], text: str, datasets: Sequence[OnDataset]) -> QuerySet[LoggedModel]:
    """Keep the models of which all comparisons are true, those of metrics on one of the datasets. Raises: Invalid."""
    on_datasets = Q()
    for dataset in datasets[:_MOST]:
        on_datasets |= dataset.condition()
    comparisons = parse_filter(text)
    for comparison in comparisons:
        rows = rows.filter(_condition(comparison, on_datasets))
    if datasets and all(comparison.entity != "metric" for comparison in comparisons):
        rows = rows.filter(pk__in=ModelMetric.objects.filter(on_datasets).values("model_id"))
    return rows


def apply_order(rows: QuerySet[LoggedModel], orders: Sequence[Call]) -> QuerySet[LoggedModel]:
    """Order by what is named, then newest first. Raises: Invalid."""
    terms: list[Any] = []
    for order in orders[:_MOST]:
        name, ascending = order.needed("field_name").strip(), order.given.get("ascending", True)
        if not isinstance(ascending, bool):
            raise wrong(name="ascending", sentence="Expected true or false.")
        value = _value(name, order)
        terms.append(value.asc(nulls_last=True) if ascending else value.desc(nulls_last=True))
    return rows.order_by(*terms, F("created_at").desc(), F("pk").asc())


def _value(name: str, order: Call) -> Any:
    if name.startswith("metrics."):
        rows = ModelMetric.objects.filter(model=OuterRef("pk"), key=name.removeprefix("metrics."))
        if dataset := order.text("dataset_name"):
            rows = rows.filter(OnDataset(dataset, order.text("dataset_digest")).condition())
        latest = Subquery(rows.order_by("-time", "-step", "-pk").values("value")[:1])
        return NullIf(latest, Value(NAN, output_field=FloatField()))
    if name in _TIMES:
        return F(_TIMES[name])
    if name in _TEXTS:
        return _TEXTS[name]
    msg = (
        f"Invalid order by field name: {name[:100]}. There are metrics.<name>, {', '.join(sorted([*_TEXTS, *_TIMES]))}."
    )
    raise Invalid(msg)


def _condition(comparison: Comparison, on_datasets: Q) -> Q:
    match comparison.entity:
        case "metric":
            return _metric(comparison, on_datasets)
        case "param" | "tag":
            require(comparison, TEXT)
            return on_text(KeyTextTransform(comparison.key, f"{comparison.entity}s"), comparison)
        case "attribute" if comparison.key in _TIMES:
            return on_time(_TIMES[comparison.key], comparison)
        case "attribute" if comparison.key in _TEXTS:
            return _text(comparison)
    raise unknown(comparison, [*_TEXTS, *_TIMES])


def _text(comparison: Comparison) -> Q:
    require(comparison, LISTED)
    if comparison.key == "model_id" and comparison.operator == "=":
        text = text_of(comparison).removeprefix("m-")
        return Q(pk=UUID(text)) if is_hex(text) else Q(pk__in=[])
    return on_text(_TEXTS[comparison.key], comparison)


def _metric(comparison: Comparison, on_datasets: Q) -> Q:
    require(comparison, NUMERIC)
    compared = on_number("value", Value(number_of(comparison), output_field=FloatField()), comparison.operator)
    if comparison.operator in {">", ">="}:
        compared &= ~Q(value=NAN)
    return Q(pk__in=ModelMetric.objects.filter(compared, on_datasets, key=comparison.key).values("model_id"))
