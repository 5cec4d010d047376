"""What the judge needs to know of teams, told by the app that owns them (it registers itself here)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from apps.access.decision import Role


@dataclass(frozen=True, slots=True)
class Facts:
    """A person's teams with the role in each, and the team's word for it; the organizations that these belong to."""

    roles: Mapping[Any, Role] = field(default_factory=dict)
    words: Mapping[Any, str] = field(default_factory=dict)
    organizations: frozenset[Any] = frozenset()


@dataclass
class Memberships:
    """What a person belongs to: as queries, for the conditions of lists, and as facts, read when they are first asked for.

    `teams_with` and `organization_teams` (all teams of his organizations) give the ids of teams.
    """

    load: Callable[[], Facts] = Facts
    teams_with: Callable[[Role], Any] = lambda _role: []
    organization_teams: Any = ()

    @cached_property
    def _facts(self) -> Facts:
        return self.load()

    @property
    def roles(self) -> Mapping[Any, Role]:
        return self._facts.roles

    @property
    def words(self) -> Mapping[Any, str]:
        return self._facts.words

    def share_organization(self, team: Any) -> bool:
        """Return whether `team` (or None) belongs to an organization of the person's."""
        return team is not None and team.organization_id in self._facts.organizations


_provider: Callable[[Any], Memberships] | None = None


def provide(provider: Callable[[Any], Memberships]) -> None:
    """Register who knows the memberships."""
    global _provider  # noqa: PLW0603 -- set once at start by the app that owns memberships
    _provider = provider


def memberships_of(principal: Any) -> Memberships:
    """Return the memberships, whose facts are read once per request: kept on the user object, which a request loads anew."""
    if _provider is None or principal.pk is None:
        return Memberships()
    known = principal.__dict__.get("_memberships")
    if known is None:
        known = _provider(principal)
        principal.__dict__["_memberships"] = known
    result: Memberships = known
    return result
