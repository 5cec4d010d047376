"""Filter and order of registered models and their versions."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from django.db.models import Model, Q, QuerySet

from apps.core.errors import Invalid
from apps.models.models import ModelTag, ModelVersion, RegisteredModel, VersionTag
from apps.tracking.language.conditions import (
    LISTED,
    NAMED,
    NUMERIC,
    TEXT,
    number_of,
    on_number,
    on_text,
    require,
    text_of,
    unknown,
)
from apps.tracking.language.grammar import Comparison, parse_filter, parse_order
from apps.tracking.language.runs import is_hex

_MODEL_ORDER = {"name": "name", "timestamp": "updated_at", "last_updated_timestamp": "updated_at"}
_VERSION_ORDER = {
    "name": "model__name",
    "version_number": "number",
    "creation_timestamp": "created_at",
    "last_updated_timestamp": "updated_at",
}
_IS_PROMPT = "mlflow.prompt.is_prompt"  # newer clients ask for what is not one, and mean also what has no such tag
_VERSION_KEYS = ("name", "run_id", "source_path", "version_number")


def filter_models(rows: QuerySet[RegisteredModel], text: str) -> QuerySet[RegisteredModel]:
    """Keep the models of which all comparisons are true. Raises: Invalid."""
    for comparison in parse_filter(text):
        if comparison.entity == "tag":
            rows = rows.filter(_tag(comparison, ModelTag, "model_id"))
        elif comparison.entity == "attribute" and comparison.key == "name":
            require(comparison, TEXT)
            rows = rows.filter(on_text("name", comparison))
        else:
            raise unknown(comparison, ["name"])
    return rows


def order_models(rows: QuerySet[RegisteredModel], texts: Sequence[str]) -> QuerySet[RegisteredModel]:
    """Order by what is named, then by name. Raises: Invalid."""
    return rows.order_by(*_terms(texts, _MODEL_ORDER), "name", "pk")


def filter_versions(rows: QuerySet[ModelVersion], text: str) -> QuerySet[ModelVersion]:
    """Keep the versions of which all comparisons are true. Raises: Invalid."""
    for comparison in parse_filter(text):
        rows = rows.filter(_of_version(comparison))
    return rows


def order_versions(rows: QuerySet[ModelVersion], texts: Sequence[str]) -> QuerySet[ModelVersion]:
    """Order by what is named, then newest change first. Raises: Invalid."""
    terms = _terms(texts, _VERSION_ORDER) or ["-updated_at"]
    return rows.order_by(*terms, "model__name", "-number", "pk")


def _of_version(comparison: Comparison) -> Q:
    if comparison.entity == "tag":
        return _tag(comparison, VersionTag, "version_id")
    if comparison.entity != "attribute" or comparison.key not in _VERSION_KEYS:
        raise unknown(comparison, _VERSION_KEYS)
    if comparison.key == "version_number":
        require(comparison, NUMERIC)
        return on_number("number", number_of(comparison), comparison.operator)
    if comparison.key == "run_id":
        return _run(comparison)
    require(comparison, TEXT)
    return on_text("model__name" if comparison.key == "name" else "source", comparison)


def _run(comparison: Comparison) -> Q:
    """Compare by the run's key, not by its text: an index finds it. What is no id of a run is no run's."""
    require(comparison, LISTED)
    if comparison.operator not in {"=", "IN"}:
        raise unknown(comparison, ["run_id = '…'", "run_id IN ('…')"])
    given = comparison.value if isinstance(comparison.value, tuple) else (comparison.value,)
    return Q(run_id__in=[UUID(text) for text in given if isinstance(text, str) and is_hex(text)])


def _tag(comparison: Comparison, table: type[Model], owner: str) -> Q:
    require(comparison, NAMED)
    rows = table._default_manager.filter(key=comparison.key)  # noqa: SLF001 -- generic code
    if comparison.operator == "IS NULL":
        return ~Q(pk__in=rows.values(owner))
    if comparison.key == _IS_PROMPT and comparison.operator == "!=":
        return ~Q(pk__in=rows.filter(value=text_of(comparison)).values(owner))
    if comparison.operator != "IS NOT NULL":
        rows = rows.filter(on_text("value", comparison))
    return Q(pk__in=rows.values(owner))


def _terms(texts: Sequence[str], columns: Mapping[str, str]) -> list[Any]:
    terms = []
    for order in map(parse_order, texts[: len(columns) + 1]):
        if order.entity != "attribute" or order.key not in columns:
            msg = f"One orders by {', '.join(sorted(columns))}, not by '{order.key[:100]}'."
            raise Invalid(msg)
        terms.append(f"{'' if order.ascending else '-'}{columns[order.key]}")
    return terms
