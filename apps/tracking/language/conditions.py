"""What the conditions of every kind of search have in common: which comparisons fit which value, as Django's expressions."""

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db.models import BooleanField, Expression, F, Lookup, Q, Value
from django.db.models.functions import Lower
from django.db.models.lookups import Exact, GreaterThan, GreaterThanOrEqual, In, LessThan, LessThanOrEqual
from typing_extensions import override

from apps.tracking.language.grammar import Comparison, IllFormed

NUMERIC = frozenset({"=", "!=", "<", "<=", ">", ">="})
TEXT = frozenset({"=", "!=", "LIKE", "ILIKE"})
LISTED = TEXT | {"IN", "NOT IN"}
NAMED = TEXT | {"IS NULL", "IS NOT NULL"}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FAR = 200_000_000_000_000  # milliseconds: within the years that Python knows
_NUMBERS = {"<": LessThan, "<=": LessThanOrEqual, ">": GreaterThan, ">=": GreaterThanOrEqual}


class Like(Lookup):
    """LIKE with % and _, in which a backslash is a character as any other: one at the end would be an error else."""

    lookup_name = "wire_like"
    output_field = BooleanField()

    @override
    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, tuple[Any, ...]]:
        left, left_params = self.process_lhs(compiler, connection)
        right, right_params = self.process_rhs(compiler, connection)
        return f"{left} LIKE {right} ESCAPE ''", (*left_params, *right_params)


def require(comparison: Comparison, allowed: Collection[str]) -> None:
    """Let pass a comparison that fits its kind. Raises: Invalid."""
    if comparison.operator not in allowed:
        raise wrong(comparison, f"Expected one of {', '.join(sorted(allowed))}, not {comparison.operator}.")


def text_of(comparison: Comparison) -> str:
    if not isinstance(comparison.value, str):
        raise wrong(comparison, "Expected text in quotes.")
    return comparison.value


def number_of(comparison: Comparison) -> float:
    if not isinstance(comparison.value, float):
        raise wrong(comparison, "Expected a number.")
    return comparison.value


def on_text(expression: Any, comparison: Comparison) -> Q:
    """Compare a text column or expression. Raises: Invalid."""
    field = F(expression) if isinstance(expression, str) else expression
    match comparison.operator:
        case "IN" | "NOT IN":
            values = comparison.value if isinstance(comparison.value, tuple) else ()
            found = Q(In(field, list(values)))
            return ~found if comparison.operator == "NOT IN" else found
        case "LIKE":
            return Q(Like(field, Value(text_of(comparison))))
        case "ILIKE":
            return Q(Like(Lower(field), Lower(Value(text_of(comparison)))))
        case "=":
            return Q(Exact(field, Value(text_of(comparison))))
        case _:
            return ~Q(Exact(field, Value(text_of(comparison))))


def on_number(expression: str | Expression | F, value: Any, operator: str) -> Q:
    """Compare a column with a value that the database can compare it with."""
    field = F(expression) if isinstance(expression, str) else expression
    if operator in _NUMBERS:
        return Q(_NUMBERS[operator](field, value))
    return ~Q(Exact(field, value)) if operator == "!=" else Q(Exact(field, value))


def on_time(column: str, comparison: Comparison) -> Q:
    """Compare a time with milliseconds since 1970. Raises: Invalid."""
    require(comparison, NUMERIC)
    milliseconds = max(-62_135_596_800_000, min(number_of(comparison), _FAR))
    return on_number(column, _EPOCH + timedelta(milliseconds=milliseconds), comparison.operator)


def wrong(comparison: Comparison, sentence: str) -> IllFormed:
    detail = f"Invalid comparison of {comparison.entity} '{comparison.key[:100]}': {sentence}"
    return IllFormed(detail, sentence=detail, at=comparison.at, length=comparison.length)


def unknown(comparison: Comparison, keys: Collection[str]) -> IllFormed:
    return wrong(comparison, f"There is no such {comparison.entity}; there are {', '.join(sorted(keys))}.")
