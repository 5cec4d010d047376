"""What the judge needs to know of teams, told by the app that owns them (it registers itself here)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from apps.access import remembered
from apps.access.decision import Role


@dataclass(frozen=True, slots=True)
class Facts:
    """A person's teams with the role in each, and the team's word for it; the organizations that these belong to."""

    roles: Mapping[Any, Role] = field(default_factory=dict)
    words: Mapping[Any, str] = field(default_factory=dict)
    organizations: frozenset[Any] = frozenset()


@dataclass
class Memberships:
    """What a person belongs to: as facts, read when they are first asked for, and as queries, for rules.

    `siblings`, and as a query `organization_teams`, are the ids of all teams of his organizations.
    """

    load: Callable[[], Facts] = Facts
    load_siblings: Callable[[], Sequence[Any]] = tuple
    teams_with: Callable[[Role], Any] = lambda _role: []
    organization_teams: Callable[[], Any] = tuple

    @cached_property
    def _facts(self) -> Facts:
        return self.load()

    @cached_property
    def siblings(self) -> Sequence[Any]:
        return self.load_siblings() if self._facts.organizations else ()

    @property
    def roles(self) -> Mapping[Any, Role]:
        return self._facts.roles

    @property
    def words(self) -> Mapping[Any, str]:
        return self._facts.words

    def with_role(self, least: Role) -> list[Any]:
        """Return the ids of the teams that give at least that role."""
        return [team for team, role in self.roles.items() if role >= least]

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
        provider, memory = _provider, remembered.of(principal)
        known = memory.ask("memberships", lambda: provider(principal)) if memory else provider(principal)
        principal.__dict__["_memberships"] = known
    result: Memberships = known
    return result
