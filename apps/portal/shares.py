"""Who has what share: a team's members with what each may hold, and how one's own turn in the queue comes about."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from apps.access.decision import Role
from apps.access.memberships import memberships_of
from apps.compute import why
from apps.portal.bars import Bar, Node, columns_of
from apps.quotas import services as quotas
from apps.quotas.choices import NodeKind
from apps.quotas.models import QuotaLimit, QuotaNode
from apps.teams.models import Membership, Team

_MOST_MEMBERS = 200
_MOST_TURNS = 5
_CPU_HOUR = 360_000  # hundredths of CPU seconds
_MOST_TEAMS = 50


@dataclass(slots=True)
class Member:
    """One row of a team's table. `cells`: a bar for each column, None where nothing is limited or used."""

    username: str
    weight: int
    cpu_hours: float
    cells: list[Bar | None]
    may_change: bool


@dataclass(slots=True)
class TeamShare:
    """A team of the reader's. `members` are for its maintainers."""

    name: str
    slug: str
    node: Node | None
    mine: Node | None  # what the reader has in it
    columns: dict[str, str] = field(default_factory=dict)
    members: list[Member] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Turn:
    """How the turn of the work that one node pays for comes about."""

    title: str
    steps: Sequence[why.Standing]


def teams_of(user: Any, nodes: Sequence[Node]) -> list[TeamShare]:
    """Return the reader's own teams; what their members have only where he maintains them."""
    roles = memberships_of(user).roles
    by_key = {node.key: node for node in nodes}
    teams = Team.objects.filter(pk__in=list(roles)).order_by("name")[:_MOST_TEAMS]
    kept = [pk for pk, role in roles.items() if role >= Role.MANAGER]
    keys = _member_keys(kept, by_key) if kept else {}
    below = [node.pk for node in nodes if "/" in node.key]
    lately = quotas.shares_of(below) if kept and below else {}
    found = []
    for team in teams:
        node, mine = by_key.get(f"team:{team.pk}"), keys.get(team.pk, {})
        shown = [by_key[key] for key in mine if key in by_key]
        columns = columns_of([node, *shown] if node else shown) if mine else {}
        members = [_member(name, by_key.get(key), columns, lately) for key, name in mine.items()]
        found.append(
            TeamShare(team.name, team.slug, node, by_key.get(f"team:{team.pk}/user:{user.pk}"), columns, members)
        )
    return found


def _member_keys(teams: list[Any], by_key: dict[str, Node]) -> dict[Any, dict[str, str]]:
    """Return the keys of the members' nodes, with their names: who is in the team, and who left and still holds something."""
    rows = Membership.objects.filter(team_id__in=teams, user__is_active=True).order_by("user__username")
    found: dict[Any, dict[str, str]] = {pk: {} for pk in teams}
    for row in rows.select_related("user")[:_MOST_MEMBERS]:
        found[row.team_id][f"team:{row.team_id}/user:{row.user_id}"] = row.user.username
    for key, node in by_key.items():
        team = next((pk for pk in teams if key.startswith(f"team:{pk}/")), None)
        if team is not None and any(bar.used != "0" for bar in node.bars):
            found[team].setdefault(key, node.name)
    return found


def _member(name: str, node: Node | None, columns: dict[str, str], lately: dict[int, quotas.Share]) -> Member:
    bars = {bar.resource: bar for bar in node.bars} if node else {}
    used = lately[node.pk].used / _CPU_HOUR if node and node.pk in lately else 0.0
    weight = node.weight if node else 1
    left = node is not None and name == node.name
    return Member(name, weight, used, [bars.get(column) for column in columns], not left)


def turns_of(user: Any, nodes: Sequence[Node]) -> list[Turn]:
    """Return how the turn of one's own work comes about, alone and in each team."""
    own = [node for node in nodes if node.kind == NodeKind.USER and node.key.endswith(f"user:{user.pk}")]
    return [Turn(node.name, why.standing_of(node.path, by=user)) for node in own[:_MOST_TURNS]]


def member_node(team: Team, user: Any) -> QuotaNode | None:
    """Return the node of a member in his team; None before his first submission."""
    return QuotaNode.objects.filter(key=f"team:{team.pk}/user:{user.pk}").first()


def team_node(team: Team) -> QuotaNode | None:
    """Return the node of a team; None before its first submission."""
    return QuotaNode.objects.filter(key=f"team:{team.pk}").first()


def limits_of(node: QuotaNode | None) -> dict[str, QuotaLimit]:
    """Return the limits of a node by resource."""
    return {row.resource: row for row in QuotaLimit.objects.filter(node=node)} if node else {}
