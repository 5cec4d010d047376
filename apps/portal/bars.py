"""Use against limit, in the units people use, as bars."""

from dataclasses import dataclass

from apps.experiments import usage
from apps.quotas.choices import in_units, words

_HIGH = 75
_FULL = 100


@dataclass(frozen=True, slots=True)
class Bar:
    """One resource of one node, in the units people use."""

    label: str
    used: str
    limit: str
    percent: int | None

    @property
    def level(self) -> str:
        if self.percent is None or self.percent < _HIGH:
            return ""
        return "full" if self.percent >= _FULL else "high"


@dataclass(frozen=True, slots=True)
class Node:
    kind: str
    name: str
    bars: list[Bar]


def nodes_of(user: object) -> list[Node]:
    return [Node(node.kind, node.name, _bars(node.resources)) for node in usage.nodes_of(user)]


def _bars(resources: dict[str, dict[str, int | None]]) -> list[Bar]:
    bars = []
    for resource, numbers in resources.items():
        used, limit = numbers["used"] or 0, numbers["limit"]
        if limit is None and not used:
            continue
        percent = None if limit is None else min(_FULL, round(_FULL * used / limit)) if limit else _FULL if used else 0
        shown = "no limit" if limit is None else in_units(resource, limit)
        bars.append(Bar(words(resource), in_units(resource, used), shown, percent))
    return bars
