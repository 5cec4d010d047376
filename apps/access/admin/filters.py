"""Filters that know their choices: asking a table what values it holds would read all of it."""

from collections.abc import Iterable
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from typing_extensions import override


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
