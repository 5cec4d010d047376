"""Reads of limits that more than one door needs."""

from typing import TypeVar

from django.db.models import F, Model, QuerySet

M = TypeVar("M", bound=Model)


def under_pressure(limits: QuerySet[M], *, percent: int = 90) -> QuerySet[M]:
    """Keep the limits of which more than `percent` are used. A limit of zero holds nothing and presses nobody."""
    return limits.filter(limit__gt=0, used__gt=F("limit") * percent / 100)


def used_up(limits: QuerySet[M]) -> QuerySet[M]:
    """Keep the limits that admit nothing more."""
    return limits.filter(used__gte=F("limit"))
