"""Filters that know their choices: asking a table what values it holds would read all of it."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from typing_extensions import override

from apps.core.errors import Invalid


def one_of(field: str, values: Iterable[tuple[str, str]], *, title: str = "") -> type[admin.SimpleListFilter]:
    """Make a filter on `field` that offers `values` (value, word)."""
    offered = list(values)
    heading = title or field.replace("_", " ")

    class OneOf(admin.SimpleListFilter):
        title = heading
        parameter_name = field

        @override
        def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
            return offered

        @override
        def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
            chosen = self.value()
            return queryset.filter(**{field: chosen}) if chosen in dict(offered) else queryset

    return OneOf


def is_null(field: str, *, yes: str, no: str, title: str) -> type[admin.SimpleListFilter]:
    """Make a filter on whether `field` was ever set; `yes` and `no` are the words for null and not null."""
    heading = title

    class IsNull(admin.SimpleListFilter):
        title = heading
        parameter_name = f"{field}__null"

        @override
        def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
            return [("yes", yes), ("no", no)]

        @override
        def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
            if self.value() in {"yes", "no"}:
                return queryset.filter(**{f"{field}__isnull": self.value() == "yes"})
            return queryset

    return IsNull


def typed(
    parameter: str, *, title: str, condition: Callable[[str], Q], kind: str = "text"
) -> type[admin.SimpleListFilter]:
    """Make a filter with a field to type in, for what has too many values to offer; `kind` is the field's HTML type."""
    heading = title

    class Typed(admin.SimpleListFilter):
        title = heading
        parameter_name = parameter
        template = "admin/typed_filter.html"

        @override
        def has_output(self) -> bool:
            return True

        @override
        def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
            return []

        @override
        def choices(self, changelist: Any) -> Iterator[Any]:
            """Tell the template what is typed, and the rest of the query, which the form repeats."""
            others = [
                (name, value)
                for name, values in changelist.filter_params.items()
                if name != parameter
                for value in values
            ]
            yield {"name": parameter, "value": self.value() or "", "kind": kind, "others": others}

        @override
        def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
            text = (self.value() or "").replace("\x00", "").strip()
            try:
                return queryset.filter(condition(text)) if text else queryset
            except Invalid:
                return queryset.none()

    return Typed
