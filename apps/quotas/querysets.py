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


def nodes_under_pressure(nodes: QuerySet[M], *, percent: int = 90) -> QuerySet[M]:
    """Keep the nodes that have a limit under pressure."""
    return nodes.filter(limits__limit__gt=0, limits__used__gt=F("limits__limit") * percent / 100).distinct()


def nodes_used_up(nodes: QuerySet[M]) -> QuerySet[M]:
    """Keep the nodes that have a limit which admits nothing more."""
    return nodes.filter(limits__used__gte=F("limits__limit")).distinct()
