"""What the judge needs to know of teams, told by the app that owns them (it registers itself here)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from apps.access.decision import Role


@dataclass(frozen=True, slots=True)
class Memberships:
    """A person's teams with the role in each (and the team's word for it), and his organizations.

    `organization_teams`, all teams of the organizations, is a query, for conditions: nobody pays for it who has no use.
    """

    roles: Mapping[Any, Role] = field(default_factory=dict)
    words: Mapping[Any, str] = field(default_factory=dict)
    organizations: frozenset[Any] = frozenset()
    organization_teams: Any = ()

    def share_organization(self, team: Any) -> bool:
        """Return whether `team` (or None) belongs to an organization of the person's."""
        return team is not None and team.organization_id in self.organizations

    def teams_with(self, role: Role) -> list[Any]:
        return [team for team, held in self.roles.items() if held >= role]


_provider: Callable[[Any], Memberships] | None = None


def provide(provider: Callable[[Any], Memberships]) -> None:
    """Register who knows the memberships."""
    global _provider  # noqa: PLW0603 -- set once at start by the app that owns memberships
    _provider = provider


def memberships_of(principal: Any) -> Memberships:
    """Return the memberships, read once per request: they are kept on the user object, which a request loads anew."""
    if _provider is None or principal.pk is None:
        return Memberships()
    known = principal.__dict__.get("_memberships")
    if known is None:
        known = _provider(principal)
        principal.__dict__["_memberships"] = known
    result: Memberships = known
    return result
