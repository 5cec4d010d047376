"""Groups in groups, for any server: from who is directly in what to who is in what."""

from collections import defaultdict
from collections.abc import Iterable, Mapping


def groups_of_everybody(members: Mapping[str, Iterable[str]]) -> dict[str, set[str]]:
    """Return the groups of every member, direct or through others. `members`: group -> who is in it. Circles are harmless."""
    direct: dict[str, set[str]] = defaultdict(set)
    for group, names in members.items():
        for name in names:
            direct[name].add(group)
    return {name: _above(name, direct) for name in direct}


def _above(name: str, direct: Mapping[str, set[str]]) -> set[str]:
    found: set[str] = set()
    waiting = [name]
    while waiting:
        fresh = direct.get(waiting.pop(), set()) - found
        found |= fresh
        waiting.extend(fresh)
    return found
