"""Reads of limits that more than one door needs."""

from typing import TypeVar

from django.db.models import F, Model, QuerySet

from apps.access.querysets import GuardedQuerySet
from apps.quotas.choices import BUILT_IN, Known

M = TypeVar("M", bound=Model)
M_co = TypeVar("M_co", bound=Model, covariant=True)


class ResourceQuerySet(GuardedQuerySet[M_co]):
    def known(self) -> list[Known]:
        """List what can be limited, in the order in which it is shown: what is built in, and what was added."""
        added = {name: Known(name, *rest) for name, *rest in self.values_list("name", "title", "position", "weight")}
        found = {one.name: one for one in BUILT_IN} | added
        return sorted(found.values(), key=lambda one: (one.position, one.name))

    def names(self) -> list[str]:
        return [one.name for one in self.known()]


def under_pressure(limits: QuerySet[M], *, percent: int = 90) -> QuerySet[M]:
    """Keep the limits of which more than `percent` are used. A limit of zero holds nothing and presses nobody."""
    return limits.filter(limit__gt=0, used__gt=F("limit") * percent / 100)


def used_up(limits: QuerySet[M]) -> QuerySet[M]:
    """Keep the limits that admit nothing more."""
    return limits.filter(used__gte=F("limit") + F("borrow"))


def nodes_under_pressure(nodes: QuerySet[M], *, percent: int = 90) -> QuerySet[M]:
    """Keep the nodes that have a limit under pressure."""
    return nodes.filter(limits__limit__gt=0, limits__used__gt=F("limits__limit") * percent / 100).distinct()


def nodes_used_up(nodes: QuerySet[M]) -> QuerySet[M]:
    """Keep the nodes that have a limit which admits nothing more."""
    return nodes.filter(limits__used__gte=F("limits__limit") + F("limits__borrow")).distinct()
