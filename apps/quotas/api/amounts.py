"""Amounts in JSON: read as people write them ("8", "32Gi") or as whole numbers of base units; shown as both."""

from collections.abc import Mapping
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from typing_extensions import override

from apps.core.errors import Invalid
from apps.quotas.choices import NodeKind, family
from apps.quotas.forms import LARGEST, REPORTED, parse_amount, write_amount
from apps.quotas.models import QuotaNode

_LONGEST = 40


@extend_schema_field({"oneOf": [{"type": "string", "maxLength": _LONGEST}, {"type": "integer", "minimum": 0}]})
class AmountField(serializers.Field[Any, Any, Any, Any]):
    """An amount of some resource; which one, and so its unit, is known to who reads it with `base_units`."""

    @override
    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, bool) or not isinstance(data, (int, str)) or (isinstance(data, str) and not data.strip()):
            msg = 'Expected an amount: "8", "32Gi", or a whole number of base units.'
            raise serializers.ValidationError(msg)
        return data.strip()[:_LONGEST] if isinstance(data, str) else data

    @override
    def to_representation(self, value: Any) -> Any:
        return value


def base_units(resource: str, amount: Any) -> int:
    """Return what an `AmountField` took, in base units. Raises: ValueError with a sentence."""
    if isinstance(amount, int):
        if 0 <= amount <= LARGEST:
            return amount
        msg = "From nothing to 2^53 base units."
        raise ValueError(msg)
    found = parse_amount(resource, amount)
    return found if found is not None else 0


def one_amount(resource: str, amount: Any, field: str = "amount") -> int:
    """As `base_units`. Raises: Invalid, which names the field."""
    try:
        return base_units(resource, amount)
    except ValueError as error:
        raise Invalid(errors={field: [str(error)]}) from error


def all_amounts(given: Mapping[str, Mapping[str, Any]], node: QuotaNode) -> dict[str, dict[str, int | None]]:
    """Read the amounts of several fields, by resource; None stays None. Raises: Invalid with a sentence for each."""
    found: dict[str, dict[str, int | None]] = {field: {} for field in given}
    problems: dict[str, list[str]] = {}
    for field, amounts in given.items():
        for resource, amount in amounts.items():
            try:
                found[field][resource] = _amount_at(node, resource, amount)
            except ValueError as error:
                problems[f"{field}.{resource}"[:200]] = [str(error)]
    if problems:
        raise Invalid(errors=problems)
    return found


def _amount_at(node: QuotaNode, resource: str, amount: Any) -> int | None:
    if node.kind == NodeKind.CLUSTER and family(resource) in REPORTED:
        msg = f"{node} reports its {resource} itself."
        raise ValueError(msg)
    return None if amount is None else base_units(resource, amount)


def written(resource: str, amount: int | None) -> str | None:
    """Write an amount as people do; None for no bound."""
    return None if amount is None else write_amount(resource, amount)
