"""Use against limit, in the units people use, as bars."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Q

from apps.access.decision import Role
from apps.access.memberships import memberships_of
from apps.quotas.choices import ARTIFACTS, DISK, MEMORY, NodeKind, family, in_units
from apps.quotas.models import QuotaLimit, QuotaNode, Resource

_HIGH = 75
_FULL = 100
_BYTES = {MEMORY, DISK, ARTIFACTS}


@dataclass(frozen=True, slots=True)
class Bar:
    """One resource of one node, in the units people use."""

    resource: str
    label: str
    used: str
    limit: str
    percent: int | None
    position: int = 0
    borrowed: str = ""  # of what is used, what is beyond the limit
    may_borrow: str = ""

    @property
    def level(self) -> str:
        if self.percent is None or self.percent < _HIGH:
            return ""
        return "full" if self.percent >= _FULL else "high"


@dataclass(slots=True)
class Node:
    """A place in the quota tree that the reader may see."""

    pk: int
    key: str
    kind: str
    name: str
    weight: int
    path: list[int]
    bars: list[Bar] = field(default_factory=list)


def nodes_of(user: Any) -> list[Node]:
    """Return the person's own nodes, those of his teams, and of the members of those he maintains, from the top.

    Each with the resources that are limited or in use. An operator sees the platform and the clusters besides.
    """
    member = memberships_of(user)
    teams = [f"team:{pk}" for pk in member.roles]
    own = [f"user:{user.pk}", *(f"{team}/user:{user.pk}" for team in teams)]
    kept = [f"team:{pk}" for pk in member.with_role(Role.MANAGER)]
    shared = Q(kind__in=[NodeKind.PLATFORM, NodeKind.CLUSTER])
    rows = QuotaNode.objects.visible_to(user, "view").filter(Q(key__in=teams + own) | Q(parent__key__in=kept) | shared)
    found = {
        row.pk: Node(row.pk, row.key, row.kind, row.name, row.weight, row.path)
        for row in rows.order_by("depth", "name")
    }
    titles = titles_of()
    for limit in QuotaLimit.objects.filter(node_id__in=list(found)).exclude(limit=None, used=0):
        found[limit.node_id].bars.append(bar_of(limit, titles))
    for node in found.values():
        node.bars.sort(key=lambda bar: (bar.position, bar.resource))
    return list(found.values())


def titles_of() -> dict[str, str]:
    """Return what can be limited with its title, in the order in which it is shown."""
    return {one.name: one.title for one in Resource.objects.known()}


def bar_of(row: QuotaLimit, titles: Mapping[str, str]) -> Bar:
    resource, used, limit = row.resource, row.used, row.limit
    lent, may = max(0, used - limit) if limit is not None else 0, row.borrow if limit is not None else 0
    return Bar(
        resource,
        titles.get(resource, resource),
        in_units(resource, used),
        "no limit" if limit is None else with_unit(resource, limit),
        _percent(used, limit),
        list(titles).index(resource) if resource in titles else len(titles),
        with_unit(resource, lent) if lent else "",
        with_unit(resource, may) if may else "",
    )


def _percent(used: int, limit: int | None) -> int | None:
    if limit is None:
        return None
    return min(_FULL, round(_FULL * used / limit)) if limit else _FULL if used else 0


def with_unit(resource: str, amount: int) -> str:
    """Write an amount under the title of its resource: "8", "32 GiB"."""
    return in_units(resource, amount) + (" GiB" if family(resource) in _BYTES else "")


def columns_of(nodes: Iterable[Node]) -> dict[str, str]:
    """Return the resources that any of `nodes` shows, with their titles, in the order in which they are shown."""
    bars = sorted((bar for node in nodes for bar in node.bars), key=lambda bar: (bar.position, bar.resource))
    return {bar.resource: bar.label for bar in bars}
